//! Kubernetes quantities (`10Gi`, `500m`), exactly.

/// Longest text that is read; real ones have a dozen characters.
const TEXT_MAX: usize = 100;

/// Reads a quantity and rounds it up to whole units (bytes, for storage).
///
/// # Errors
/// What to write instead.
pub fn parse_ceil(text: &str) -> Result<u64, String> {
    if text.len() > TEXT_MAX {
        return Err(format!(
            "it is longer than {TEXT_MAX} bytes; write a quantity such as 10Gi"
        ));
    }
    let hint = || match text.strip_suffix('B') {
        Some(short) if parse_ceil(short).is_ok() && parse_ceil(&format!("{short}i")).is_ok() => {
            format!("write {short} or, in powers of 1024, {short}i")
        }
        Some(short) if parse_ceil(short).is_ok() => format!("write {short}"),
        _ => "write a quantity such as 500M, 10Gi or 1.5Ti".to_owned(),
    };
    let number_end = text
        .char_indices()
        .find(|(index, c)| !(c.is_ascii_digit() || *c == '.' || (*index == 0 && *c == '+')))
        .map_or(text.len(), |(index, _)| index);
    let (number, suffix) = text.split_at(number_end);
    let number = number.strip_prefix('+').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty()
        || fraction.contains('.')
        || fraction.len() > 18
        || whole.len() > 20
    {
        return Err(hint());
    }
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| hint())?;
    let (numerator, denominator) = factor(suffix).ok_or_else(hint)?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| hint())?);
    let top = digits.checked_mul(numerator).ok_or_else(hint)?;
    let bottom = denominator.checked_mul(scale).ok_or_else(hint)?;
    u64::try_from(top.div_ceil(bottom)).map_err(|_| "it is larger than 16 EiB".to_owned())
}

fn factor(suffix: &str) -> Option<(u128, u128)> {
    let binary = |power: u32| Some((1_u128 << (10 * power), 1));
    let decimal = |power: u32| Some((1000_u128.pow(power), 1));
    match suffix {
        "n" => Some((1, 1_000_000_000)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1000)),
        "" => Some((1, 1)),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E'])?;
            match digits.strip_prefix('-') {
                Some(negative) => Some((1, 10_u128.checked_pow(negative.parse().ok()?)?)),
                None => Some((
                    10_u128.checked_pow(digits.trim_start_matches('+').parse().ok()?)?,
                    1,
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact_and_rounded_up() {
        for (text, units) in [
            ("10Gi", 10 << 30),
            ("1.5Gi", 3 << 29),
            ("1E", 1_000_000_000_000_000_000),
            ("500M", 500_000_000),
            ("1m", 1),
            ("1500m", 2),
            ("12e3", 12_000),
            ("1e-3", 1),
            ("0", 0),
            (".5k", 500),
        ] {
            assert_eq!(parse_ceil(text), Ok(units), "{text}");
        }
        for text in ["", "Gi", "10GB", "ten", "-1Gi", "1.2.3Gi", "20Ei", "1 Gi"] {
            assert!(parse_ceil(text).is_err(), "{text}");
        }
        assert_eq!(
            parse_ceil("10GB"),
            Err("write 10G or, in powers of 1024, 10Gi".to_owned())
        );
    }
}
