//! Answers kept for repeated requests.

use callveil_domain::receipt::Receipt;
use callveil_domain::store::{Change, Conflict};
use callveil_domain::tenant::Sid;

use crate::world::{World, acme, allocation, at, create, other, vn};

pub fn receipt(tenant: Sid, scope: &str, key: &str) -> Receipt {
    Receipt {
        tenant,
        scope: scope.to_owned(),
        key: key.to_owned(),
        fingerprint: [9; 32],
        status: 201,
        body: b"{\"answer\":\xff}".to_vec(),
        made_at: at(4),
    }
}

pub fn keep(receipt: Receipt) -> Change {
    let mut change = Change::at(at(5));
    change.receipt = Some(receipt);
    change
}

pub async fn a_receipt_reads_back_as_it_was_kept(world: &World) {
    let kept = receipt(acme(), "create", "k1");
    world.applied(keep(kept.clone())).await;
    let find = async |tenant: Sid, scope, key| world.store.receipt(&tenant, scope, key).await.unwrap();

    assert_eq!(find(acme(), "create", "k1").await, Some(kept));
    assert_eq!(find(acme(), "create", "k2").await, None);
    assert_eq!(find(acme(), "release", "k1").await, None);
    assert_eq!(find(other(), "create", "k1").await, None);
}

pub async fn an_answer_is_kept_once(world: &World) {
    let kept = receipt(acme(), "create", "k1");
    world.applied(keep(kept.clone())).await;
    world.applied(keep(receipt(other(), "create", "k1"))).await;
    world.applied(keep(receipt(acme(), "release", "k1"))).await;

    let conflict = world.refused(keep(Receipt { status: 200, ..kept })).await;

    assert_eq!(conflict, Conflict::Answered);
}

pub async fn a_kept_answer_goes_before_every_refusal(world: &World) {
    let mut change = create(&allocation(1, vn(1), 1, 2));
    change.receipt = Some(receipt(acme(), "create", "k1"));
    world.applied(change.clone()).await;

    assert_eq!(world.refused(change).await, Conflict::Answered);
}
