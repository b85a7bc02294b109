//! What a plain scalar means to kubectl (go-yaml v2 with sigs.k8s.io/yaml's conversion to JSON).

use super::number;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};

/// The JSON value of a scalar; `None` for infinities, NaN, bytes that are no text, and text that is not what its tag says.
pub fn resolve(text: &str, plain: bool, tag: Option<&str>) -> Option<Value> {
    match tag {
        Some("binary") => return String::from_utf8(binary(text)?).ok().map(Value::String),
        Some("str" | OWN_TAG) => return Some(Value::String(text.to_owned())),
        None if !plain => return Some(Value::String(text.to_owned())),
        Some(tag @ ("null" | "bool" | "int" | "float")) => {
            return plain_value(text).filter(|value| match tag {
                "null" => value.is_null(),
                "bool" => value.is_boolean(),
                "int" => value.is_i64() || value.is_u64(),
                _ => value.is_number(),
            });
        }
        _ => {}
    }
    plain_value(text)
}

/// Stands for every tag that is not of YAML itself: what it says of a scalar is not known, so that it is a string.
pub const OWN_TAG: &str = "!";

/// Whether a plain scalar is a string.
pub(super) fn is_text(text: &str) -> bool {
    match text.bytes().next() {
        Some(first) if first.is_ascii_alphabetic() => special(text).is_none(),
        _ => matches!(plain_value(text), Some(Value::String(_))),
    }
}

/// The words that are no texts; `Some(None)` for those that JSON does not have.
fn special(text: &str) -> Option<Option<Value>> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(Value::Bool(true))
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(Value::Bool(false))
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan"
        | ".NaN" | ".NAN" => None,
        _ => return None,
    })
}

fn plain_value(text: &str) -> Option<Value> {
    if let Some(special) = special(text) {
        return special;
    }
    // No number begins with a letter, and most values are words.
    if text.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Some(Value::String(text.to_owned()));
    }
    if let Some(small) = decimal(text) {
        return Some(Value::Number(small.into()));
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
        // What no float can hold is a string to Go.
        Some(float) if float.is_finite() => number(float),
        _ => Some(Value::String(text.to_owned())),
    }
}

/// A whole number of digits only, as nearly all are.
fn decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let usual = digits && text.len() < 19 && (text.len() == 1 || !text.starts_with('0'));
    if usual { text.parse().ok() } else { None }
}

/// An integer as Go's `ParseInt(text, 0, 64)` reads it once `_` is taken out: `0x`, `0o`, `0b` and a leading 0 for octal.
pub fn integer(text: &str) -> Option<i128> {
    let first = text.as_bytes().first()?;
    if !first.is_ascii_digit() && !matches!(first, b'-' | b'+') {
        return None;
    }
    let cleaned = text.replace('_', "");
    let (negative, digits) = match cleaned.as_bytes().first()? {
        b'-' => (true, &cleaned[1..]),
        b'+' => (false, &cleaned[1..]),
        _ => (false, cleaned.as_str()),
    };
    if !digits.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    // A sign stands before a number only, and not within.
    if lower.contains(['-', '+']) {
        return None;
    }
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

/// What `!!binary` holds; line breaks and blanks do not count.
fn binary(text: &str) -> Option<Vec<u8>> {
    let packed: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).ok()
}

/// The bytes which the sops command hashes for a value that is not encrypted: go-yaml v3 reads it (only true and false
/// are booleans, dates are times), and Go prints it again. `None` for null, which is not hashed.
pub fn hashed(text: &str, plain: bool, tag: Option<&str>) -> Option<Vec<u8>> {
    let own = || Some(text.as_bytes().to_vec());
    match tag.filter(|tag| *tag != OWN_TAG) {
        Some("binary") => return binary(text).or_else(own),
        Some("str") => return own(),
        None if !plain => return own(),
        _ => {}
    }
    let fixed = match text {
        "" | "~" | "null" | "Null" | "NULL" => return None,
        "true" | "True" | "TRUE" => Some("True"),
        "false" | "False" | "FALSE" => Some("False"),
        ".nan" | ".NaN" | ".NAN" => Some("NaN"),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some("+Inf"),
        "-.inf" | "-.Inf" | "-.INF" => Some("-Inf"),
        _ => None,
    };
    let printed = match fixed {
        Some(fixed) => Some(fixed.to_owned()),
        None => time(text)
            .or_else(|| integer(text).map(|integer| integer.to_string()))
            .or_else(|| float(text).map(|float| float.to_string())),
    };
    printed.map(String::into_bytes).or_else(own)
}

/// A date or time of go-yaml v3 as RFC 3339 with the zone that it was written with.
fn time(text: &str) -> Option<String> {
    if text.bytes().take_while(u8::is_ascii_digit).count() != 4 || text.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    let (date, clock) = match text.find(['T', 't', ' ']) {
        Some(cut) => (&text[..cut], Some((&text[cut..=cut], &text[cut + 1..]))),
        None => (text, None),
    };
    let mut parts = date.split('-').map(str::parse::<i16>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let date = jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    if parts.next().is_some() {
        return None;
    }
    let Some((separator, rest)) = clock else {
        return Some(format!("{date}T00:00:00Z"));
    };
    let zone_at = rest.find(['Z', '+', '-']);
    let (clock, zone) = match (separator, zone_at) {
        (" ", None) => (rest, "Z"),
        ("T" | "t", Some(at)) => rest.split_at(at),
        _ => return None,
    };
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let civil: jiff::civil::Time = format!("{hour:0>2}:{minute:0>2}:{}", pad_second(second))
        .parse()
        .ok()?;
    if parts.next().is_some() {
        return None;
    }
    let zone = if matches!(zone, "+00:00" | "-00:00") {
        "Z"
    } else {
        zone
    };
    Some(format!("{date}T{civil}{zone}"))
}

/// Two digits before the point.
fn pad_second(second: &str) -> String {
    match second.split_once('.') {
        Some((whole, fraction)) => format!("{whole:0>2}.{fraction}"),
        None => format!("{second:0>2}"),
    }
}

/// A float as YAML 1.1 writes it.
pub fn float(text: &str) -> Option<f64> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return None;
    }
    let text = &text.replace('_', "");
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
