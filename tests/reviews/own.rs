//! Plans on couchestor's own proposals.

use super::life::{self, Life, POLICY};
use couchestor::sim::prometheus::Load;

pub(super) async fn one_of_ours_that_somebody_holds_stays_as_it_is(mut life: Life) {
    let load = Load::random(60_000.0, 1.0);
    life.running.prometheus.set(life::VOLUME, Some(load));
    life.good_turn().await;
    let own = life.status.proposals[0].number.unwrap();
    life.until(own, "its plan", |review| !review.head.is_empty())
        .await;
    let head = life.head(own).await;
    life.world.comment(own, "ann", "/couchestor hold").await;
    life.until(own, "the hold", |review| review.held_by.is_some())
        .await;
    // Another watermark would be another text and another commit.
    let lower = POLICY.replace("50000", "40000");
    life.commit("main", None, &[("p/policy.yaml", Some(&lower))])
        .await;
    for _ in 0..3 {
        life.good_turn().await;
    }
    assert_eq!(life.head(own).await, head, "it was written to");
    let body = async |life: &Life| life.world.forge.get(own).await.unwrap().body;
    assert!(!body(&life).await.contains("40000"));
    life.world.comment(own, "ann", "/couchestor plan").await;
    life.until(own, "the next head", |review| review.head != head)
        .await;
    let told = body(&life).await;
    assert!(told.contains("watermark of 40000"), "{told}");
}
