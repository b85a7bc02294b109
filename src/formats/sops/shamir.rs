//! Shamir's secret sharing over GF(2⁸), as sops splits a data key between key groups (its `shamir` package, from Vault): one
//! polynomial for each byte, and the share's x coordinate behind its bytes.

use zeroize::Zeroizing;

/// Puts a secret together from at least as many shares as its threshold. Too few give other bytes, which then open nothing.
/// `None` when the shares cannot belong together.
pub(super) fn combine(shares: &[Zeroizing<Vec<u8>>]) -> Option<Zeroizing<Vec<u8>>> {
    let length = shares.first()?.len();
    if length < 2 || shares.len() < 2 || shares.iter().any(|share| share.len() != length) {
        return None;
    }
    let xs: Vec<u8> = shares.iter().map(|share| share[length - 1]).collect();
    let distinct = xs
        .iter()
        .enumerate()
        .all(|(at, x)| *x != 0 && !xs[..at].contains(x));
    if !distinct {
        return None;
    }
    let mut secret = Zeroizing::new(Vec::with_capacity(length - 1));
    for byte in 0..length - 1 {
        let mut value = 0;
        for (i, share) in shares.iter().enumerate() {
            let mut basis = 1;
            for (j, x) in xs.iter().enumerate() {
                if i != j {
                    // The polynomial is wanted at 0, where subtracting is adding is xor.
                    basis = multiply(basis, multiply(*x, inverse(xs[i] ^ x)));
                }
            }
            value ^= multiply(share[byte], basis);
        }
        secret.push(value);
    }
    Some(secret)
}

/// Multiplication modulo the polynomial of AES.
fn multiply(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a, b, 0);
    for _ in 0..8 {
        product ^= a & (b & 1).wrapping_neg();
        a = (a << 1) ^ (0x1b & (a >> 7).wrapping_neg());
        b >>= 1;
    }
    product
}

/// The inverse is the 254th power, because each of the 255 elements to the 255th is 1.
fn inverse(a: u8) -> u8 {
    let mut result = 1;
    for _ in 0..254 {
        result = multiply(result, a);
    }
    result
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn multiplication_and_inverse_are_those_of_aes() {
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert!((1..=255).all(|a| multiply(a, inverse(a)) == 1));
    }

    /// Shares of one byte: a polynomial at several x.
    fn shares(secret: u8, coefficients: &[u8], xs: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
        xs.iter()
            .map(|x| {
                let mut value = 0;
                for coefficient in coefficients.iter().rev().chain([&secret]) {
                    value = multiply(value, *x) ^ coefficient;
                }
                Zeroizing::new(vec![value, *x])
            })
            .collect()
    }

    #[test]
    fn enough_shares_give_the_secret_and_too_few_do_not() {
        let all = shares(42, &[7, 99], &[1, 5, 200, 255]);
        assert_eq!(**combine(&all[..3]).unwrap(), [42]);
        assert_eq!(**combine(&all[1..]).unwrap(), [42]);
        assert_eq!(**combine(&all).unwrap(), [42]);
        assert_ne!(**combine(&all[..2]).unwrap(), [42]);
    }

    #[test]
    fn shares_that_do_not_belong_together_are_refused() {
        let share = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        for shares in [
            vec![],
            vec![share(&[1, 1])],
            vec![share(&[1, 1]), share(&[2, 1])],
            vec![share(&[1, 0]), share(&[2, 1])],
            vec![share(&[1, 2, 3]), share(&[2, 1])],
            vec![share(&[1]), share(&[2])],
        ] {
            assert!(combine(&shares).is_none());
        }
    }
}
