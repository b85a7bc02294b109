//! Claims about what a rollout's status tells: no figure of what was encrypted, and no more than a status holds.

use super::*;

#[test]
fn of_what_was_encrypted_no_figure_is_told() {
    let hidden = Scene::with(|scene| {
        scene.secret = true;
        scene.figures.insert("q".into(), Ok(7.0));
        scene.report().covered.as_mut().unwrap().backup.started = Some(at(2 * DAY));
        scene.claims[1].storage_class = "fast".into();
    });
    let told = serde_json::to_string(&hidden.phases()).unwrap();
    for canary in ["24h", "15m", " 7", "below 1", "48h"] {
        assert!(!told.contains(canary), "{canary}: {told}");
    }
}

#[test]
fn of_an_encrypted_policy_no_figure_is_told_either() {
    for stale in [false, true] {
        let hidden = Scene::with(|scene| {
            scene.secret_policy = true;
            if stale {
                scene.report().covered.as_mut().unwrap().backup.started = Some(at(2 * DAY));
                scene.report().drills[0] = drilled("test", true, 60, 4242);
            }
        });
        let told = serde_json::to_string(&hidden.phases()).unwrap();
        for canary in ["24h", "15m", "168h", "2 m", "1 h 10", "4242"] {
            assert!(!told.contains(canary), "{canary}: {told}");
        }
    }
}

#[test]
fn what_a_server_quotes_does_not_fill_the_status() {
    let long = Scene::with(|scene| drop(scene.figures.insert("q".into(), Err("x".repeat(100_000)))));
    let phases = long.phases();
    let letters = |text: &str| text.chars().count();
    assert_eq!(letters(&phases[0].gates[4].message), 400);
    assert!(phases.iter().all(|phase| letters(&phase.waits_for) <= 800));
}
