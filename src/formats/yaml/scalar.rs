//! What a plain scalar means to kubectl (go-yaml v2 with sigs.k8s.io/yaml's conversion to JSON).

use super::number;
use serde_json::{Number, Value};

/// The JSON value of a scalar; `None` for infinities and NaN.
pub fn resolve(text: &str, plain: bool, tag: Option<&str>) -> Option<Value> {
    match tag {
        Some("str" | "binary") => return Some(Value::String(text.to_owned())),
        None if !plain => return Some(Value::String(text.to_owned())),
        _ => {}
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Some(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Some(Value::Bool(false));
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan"
        | ".NaN" | ".NAN" => return None,
        _ => {}
    }
    if let Some(integer) = integer(text) {
        return Some(match i64::try_from(integer) {
            Ok(small) => Value::Number(small.into()),
            Err(_) => u64::try_from(integer).map_or(number(integer as f64)?, |large| {
                Value::Number(Number::from(large))
            }),
        });
    }
    match float(text) {
        Some(float) => number(float),
        None => Some(Value::String(text.to_owned())),
    }
}

/// An integer as Go's `ParseInt(text, 0, 64)` reads it once `_` is taken out: `0x`, `0o`, `0b` and a leading 0 for octal.
pub fn integer(text: &str) -> Option<i128> {
    let cleaned = text.replace('_', "");
    let (negative, digits) = match cleaned.as_bytes().first()? {
        b'-' => (true, &cleaned[1..]),
        b'+' => (false, &cleaned[1..]),
        _ => (false, cleaned.as_str()),
    };
    if !digits.as_bytes().first()?.is_ascii_digit() || text.starts_with('_') {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    let value = if let Some(hex) = lower.strip_prefix("0x") {
        i128::from_str_radix(hex, 16)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        i128::from_str_radix(octal, 8)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        i128::from_str_radix(binary, 2)
    } else if lower.len() > 1 && lower.starts_with('0') {
        i128::from_str_radix(&lower[1..], 8)
    } else {
        lower.parse()
    };
    let value = value.ok()?;
    let value = if negative { -value } else { value };
    (i128::from(i64::MIN)..=i128::from(u64::MAX))
        .contains(&value)
        .then_some(value)
}

/// A float as YAML 1.1 writes it.
pub fn float(text: &str) -> Option<f64> {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(cut) => (&body[..cut], Some(&body[cut + 1..])),
        None => (body, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, "")) => digits(whole),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(mantissa),
    };
    let exponent_ok =
        exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)));
    if !mantissa_ok || !exponent_ok {
        return None;
    }
    text.trim_start_matches('+').parse().ok()
}
