//! Every question of the policies has the value that is known beforehand.

use super::*;

/// Two days with volumes whose rates are known at each time.
fn two_days() -> Recording {
    let known = Rates {
        reads: 40.0,
        writes: 60.0,
        read_bytes: 40.0 * 4096.0,
        write_bytes: 60.0 * 8192.0,
        read_us: 40.0 * 500.0,
        write_us: 60.0 * 1000.0,
    };
    let backup = |at: i64| (HOUR + 1..=3 * HOUR).contains(&(at - MIDNIGHT).rem_euclid(DAY));
    let dip = |at: i64| (NOON - 1800 + 1..=NOON - 1200).contains(&at);
    Recording {
        first: MIDNIGHT,
        last: MIDNIGHT + 2 * DAY,
        scrape: 30,
        volumes: vec![
            ("pvc-a", Box::new(move |_| Some(known))),
            // A backup from one to three each night.
            (
                "pvc-b",
                Box::new(move |at| Some(Rates::of(if backup(at) { 1000.0 } else { 10.0 }))),
            ),
            // Not published any more since half past eleven.
            (
                "pvc-c",
                Box::new(|at| (at <= NOON - 1800).then(|| Rates::of(5.0))),
            ),
            // Two hours at work, two hours idle; idle at noon.
            (
                "pvc-d",
                Box::new(|at| {
                    Some(Rates::of(if (at - NOON - 1).rem_euclid(4 * HOUR) < 2 * HOUR {
                        100.0
                    } else {
                        0.0
                    }))
                }),
            ),
            // Busy for the last hour, but for ten minutes.
            (
                "pvc-e",
                Box::new(move |at| {
                    let busy = if dip(at) { 50.0 } else { 400.0 };
                    Some(Rates::of(if at > NOON - HOUR { busy } else { 100.0 }))
                }),
            ),
        ],
    }
}

fn signal(measure: Measure, percentile: Option<f64>) -> Signal {
    Signal {
        name: "s".into(),
        measure,
        percentile,
        above: Some(1.0),
        below: None,
    }
}

fn policy(window: &str, hours: u64) -> Policy {
    Policy {
        name: "p".into(),
        storage_class: "mayastor".into(),
        claim_labels: BTreeMap::new(),
        signals: Vec::new(),
        not_heat_when: Vec::new(),
        sustained: Duration::ZERO,
        hysteresis: 0.1,
        window_text: window.into(),
        window: Duration::from_secs(hours * 3600),
        excluded_windows: Vec::new(),
        move_windows: Vec::new(),
        rollback: None,
        min_age: Duration::ZERO,
        fullness: Fullness::default(),
        budgets: Budgets::default(),
        min_coverage: 0.75,
        cooldown: Duration::ZERO,
        tiers: vec!["cold".into(), "hot".into()],
        max_concurrent: 2,
        timeout: Duration::from_secs(1800),
        enabled: true,
        dry_run: false,
        fingerprint: String::new(),
        secret: false,
    }
}

fn near(value: Option<&f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() <= expected.abs() * 1e-6 + 1e-9)
}

/// Queries, volumes and the values that are known.
fn known() -> Vec<(String, String, &'static str, Option<f64>)> {
    let (hour, day) = (policy("1h", 1), policy("24h", 24));
    let nights = WeekWindow::read(&[], "01:00", "03:00", None).unwrap();
    let without_nights = Policy {
        excluded_windows: vec![nights],
        ..day.clone()
    };
    let now = at(NOON);
    let value = |policy: &Policy, measure: Measure, percentile| {
        questions::value(policy, &signal(measure, percentile), now)
    };
    let reads = || Measure::Query("sum by (pv_name) (rate(volume_num_read_ops[$window]))".to_owned());
    let mut known: Vec<(String, String, &'static str, Option<f64>)> = Vec::new();
    for (name, measure, expected) in [
        ("iops", Measure::Iops, 100.0),
        ("throughput", Measure::Throughput, 655_360.0),
        ("latency", Measure::Latency, 0.8),
        ("read latency", Measure::ReadLatency, 0.5),
        ("write latency", Measure::WriteLatency, 1.0),
        ("request size", Measure::RequestSize, 6553.6),
        ("read ratio", Measure::ReadRatio, 0.4),
        ("a query of one's own", reads(), 40.0),
    ] {
        for (kind, policy, percentile) in [
            ("mean", &hour, None),
            ("median", &hour, Some(0.5)),
            ("mean without nights", &without_nights, None),
            ("95th without nights", &without_nights, Some(0.95)),
        ] {
            let query = value(policy, measure.clone(), percentile);
            known.push((format!("{kind} of {name}"), query, "pvc-a", Some(expected)));
        }
    }
    let mut add = |claim: &str, query: String, volume, expected| {
        known.push((claim.to_owned(), query, volume, expected));
    };
    // Two hours of 24 at 1000, else 10; the first half minute has no sample before it, and is taken to be like the rest.
    let mean = (7200.0 * 1000.0 + (79_200.0 - 30.0) * 10.0) / (86_400.0 - 30.0);
    add(
        "a mean counts the backup",
        value(&day, Measure::Iops, None),
        "pvc-b",
        Some(mean),
    );
    add(
        "95th counts the backup",
        value(&day, Measure::Iops, Some(0.95)),
        "pvc-b",
        Some(1000.0),
    );
    add(
        "median does not",
        value(&day, Measure::Iops, Some(0.5)),
        "pvc-b",
        Some(10.0),
    );
    add(
        "nights are left out",
        value(&without_nights, Measure::Iops, None),
        "pvc-b",
        Some(10.0),
    );
    add(
        "to the last step",
        value(&without_nights, Measure::Iops, Some(1.0)),
        "pvc-b",
        Some(10.0),
    );
    add(
        "latency of what is idle now",
        value(&hour, Measure::Latency, None),
        "pvc-d",
        None,
    );
    add(
        "idle steps have no latency",
        value(&day, Measure::Latency, Some(0.1)),
        "pvc-d",
        Some(0.75),
    );
    add(
        "nor spoil the mean",
        value(&without_nights, Measure::Latency, None),
        "pvc-d",
        Some(0.75),
    );
    let sustained = Policy {
        sustained: Duration::from_secs(3600),
        ..hour.clone()
    };
    let extremes = questions::signal_of(&sustained, &signal(Measure::Iops, None), now).extremes;
    let (least, greatest) = extremes.unwrap();
    add("least of an hour", least.clone(), "pvc-e", Some(50.0));
    add("greatest of an hour", greatest.clone(), "pvc-e", Some(400.0));
    add("least of what never changes", least, "pvc-a", Some(100.0));
    add("greatest of it", greatest, "pvc-a", Some(100.0));
    add(
        "all of it is there",
        questions::coverage(&hour, now),
        "pvc-a",
        Some(1.0),
    );
    add(
        "also without nights",
        questions::coverage(&without_nights, now),
        "pvc-a",
        Some(1.0),
    );
    // Thirty minutes, and the five for which Prometheus takes the last sample for the present one, exclusive.
    add(
        "half an hour is missing",
        questions::coverage(&hour, now),
        "pvc-c",
        Some(34.0 / 60.0),
    );
    add(
        "operations",
        questions::operations(HOUR.unsigned_abs()),
        "pvc-a",
        Some(100.0),
    );
    known
}

#[tokio::test]
async fn each_question_has_the_value_that_is_known() {
    if servers::left_out("each_question_has_the_value_that_is_known") {
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Prometheus::with(&two_days());
    let prometheus = client::Prometheus::new(&server.url).unwrap();
    let mut wrong = Vec::new();
    let known = known();
    for (claim, query, volume, expected) in &known {
        let answer = prometheus.ask(query, at(NOON)).await;
        let right = match (&answer, expected) {
            (Ok(values), Some(expected)) => near(values.get(*volume), *expected),
            (Ok(values), None) => !values.contains_key(*volume),
            (Err(_), _) => false,
        };
        if !right {
            let told = answer.map(|values| values.get(*volume).copied());
            wrong.push(format!("{claim}: {told:?} and not {expected:?}\n  {query}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        known.len(),
        wrong.join("\n")
    );
    crate::support::say(&format!("{} questions had the value that is known", known.len()));
}

#[tokio::test]
async fn a_range_gives_what_each_time_gives_by_itself() {
    if servers::left_out("a_range_gives_what_each_time_gives_by_itself") {
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Prometheus::with(&two_days());
    let prometheus = client::Prometheus::new(&server.url).unwrap();
    // Also at times that are on no even step.
    let span = Span {
        first: NOON - 4 * 900 + 17,
        last: NOON + 4 * 900 + 17,
        step: 900,
    };
    let mut compared = 0;
    for (claim, query, ..) in known() {
        let ranges = prometheus.ask_range(&query, span).await.unwrap();
        for time in span.times() {
            let alone = prometheus.ask(&query, at(time)).await.unwrap();
            let of_range: HashMap<String, f64> = ranges
                .iter()
                .filter_map(|(volume, points)| {
                    Some((volume.clone(), points.iter().find(|(at, _)| *at == time)?.1))
                })
                .collect();
            assert_eq!(of_range, alone, "{claim} at {time}: {query}");
            compared += alone.len();
        }
    }
    assert!(compared > 1000, "{compared}");
    let endless = Span {
        first: 0,
        last: 20_000,
        step: 1,
    };
    let refused = prometheus.ask_range("vector(1)", endless).await.unwrap_err();
    assert!(refused.to_string().contains("20001 steps"), "{refused}");
    // One value per volume: of two nobody knows which is meant, and neither the first nor the last is believed.
    let instance = |name: &str, of: &str| format!(r#"label_replace({of}, "instance", "{name}", "", "")"#);
    let (reads, writes) = (
        instance("a:9100", "volume_num_read_ops"),
        instance("b:9100", "volume_num_write_ops"),
    );
    let two = format!("sum by (pv_name, instance) ({reads} or {writes})");
    let one = format!("sum by (pv_name) ({reads} or {writes})");
    let (alone, range) = (
        prometheus.ask(&two, at(NOON)).await.unwrap_err(),
        prometheus.ask_range(&two, span).await.unwrap_err(),
    );
    for error in [alone, range] {
        let text = error.to_string();
        assert!(text.contains("it has several values for pvc-"), "{text}");
        assert!(
            text.contains("bring them together, as in `max by (pv_name) (…)`"),
            "{text}"
        );
    }
    assert!(prometheus.ask(&one, at(NOON)).await.unwrap().len() > 1);
    assert!(prometheus.ask_range(&one, span).await.unwrap().len() > 1);
    let refused = prometheus.ask_range("rate(", span).await.unwrap_err();
    assert!(refused.to_string().contains("refused the query"), "{refused}");
}
