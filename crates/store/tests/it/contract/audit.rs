//! The audit's entries and their chain, as the domain makes and checks them.

use callveil_domain::audit::{self, Actor, AuditHead, Origin, Seal};
use callveil_domain::endpoint::{EndpointId, EndpointKey};
use callveil_domain::store::{Change, Conflict, DirectoryWrite, Outcome};
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use callveil_domain::virtual_number::Lending;
use callveil_domain::{Ctx, Effect, admin};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::tidying::all_before;
use crate::world::{World, acme, at, vn};

/// A change of the directory by the domain, with its entry: one of each.
async fn drain(world: &World, n: u64, by: Origin) {
    let mut rng = StdRng::seed_from_u64(1);
    let now = at(n.cast_signed());
    let ctx = Ctx { store: world.store.as_ref(), now, rng: &mut rng, effect: Effect::Keep, by };
    admin::set_lending(&ctx, &acme(), &[vn(n)], Lending::Draining).await.unwrap();
}

async fn sealed(world: &World, entries: u64) {
    for n in 1..=entries {
        drain(world, n, Origin::PROGRAM).await;
    }
    assert_eq!(audit::seal(world.store.as_ref(), at(50)).await.unwrap(), usize::try_from(entries).unwrap());
}

pub async fn an_entry_tells_who_did_what_in_answer_to_what(world: &World) {
    let actor = Actor::Key { name: "ck_1".to_owned(), from: Some([192, 0, 2, 7].into()) };
    let by = Origin { actor, request: Some("r-7".to_owned()) };
    drain(world, 3, by).await;

    let entries = world.store.unsealed_audit(10).await.unwrap();

    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].tenant, Some(acme()));
    let who = (entries[0].actor.as_str(), entries[0].request.as_deref());
    assert_eq!(who, ("key:ck_1 from 192.0.2.7", Some("r-7")));
    assert_eq!((entries[0].what.as_str(), entries[0].at), ("number.drained", at(3)));
    assert_eq!(entries[0].subject, vn(3).expose_digits().to_string());
}

pub async fn a_sealed_chain_holds(world: &World) {
    sealed(world, 5).await;
    drain(world, 6, Origin::PROGRAM).await;

    let report = audit::verify(world.store.as_ref()).await.unwrap();

    assert_eq!((report.entries, report.first, report.unsealed), (5, 1, 1));
    assert_eq!((report.head.place, report.broken), (5, None));
    assert_eq!(audit::seal(world.store.as_ref(), at(51)).await.unwrap(), 1);
    assert_eq!(audit::seal(world.store.as_ref(), at(52)).await.unwrap(), 0);
    assert_eq!(audit::verify(world.store.as_ref()).await.unwrap().broken, None);
}

pub async fn two_sealers_do_not_both_have_their_way(world: &World) {
    drain(world, 1, Origin::PROGRAM).await;
    let entry = world.store.unsealed_audit(1).await.unwrap().remove(0);
    let mut change = Change::at(at(9));
    let head = AuditHead { place: 1, hash: [9; 32] };
    change.seal = Some(Seal { after: AuditHead::START, entries: vec![(entry.id, head)] });
    assert_eq!(world.store.apply(change.clone()).await.unwrap(), Outcome::Applied);

    assert_eq!(world.refused(change).await, Conflict::Sealed);
}

pub async fn an_old_beginning_of_the_chain_is_thrown_away(world: &World) {
    sealed(world, 5).await;
    let what = callveil_domain::store::Tidy { audit_before: at(3), ..all_before(Timestamp::EPOCH, 10) };

    assert_eq!(world.store.tidy(what).await.unwrap().audit, 2);

    let report = audit::verify(world.store.as_ref()).await.unwrap();
    assert_eq!((report.entries, report.first, report.broken), (3, 3, None));
}

pub async fn a_chain_sealed_otherwise_does_not_hold(world: &World) {
    sealed(world, 2).await;
    drain(world, 3, Origin::PROGRAM).await;
    let entry = world.store.unsealed_audit(1).await.unwrap().remove(0);
    let after = world.store.audit_head().await.unwrap();
    let mut change = Change::at(at(9));
    let head = AuditHead { place: 3, hash: [9; 32] };
    change.seal = Some(Seal { after, entries: vec![(entry.id, head)] });
    world.applied(change).await;

    let report = audit::verify(world.store.as_ref()).await.unwrap();

    assert_eq!(report.broken.map(|(place, _)| place), Some(3));
}

pub async fn every_change_of_the_directory_has_its_entry(world: &World) {
    let tenant = Sid::parse("third").unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let mut ctx = Ctx {
        store: world.store.as_ref(),
        now: at(1),
        rng: &mut rng,
        effect: Effect::Keep,
        by: Origin { actor: Actor::Operator("root".to_owned()), request: None },
    };
    let key = callveil_domain::tenant::ApiKey {
        id: "k".to_owned(),
        tenant: tenant.clone(),
        token_hash: [0; 32],
        created_at: at(1),
        revoked_at: None,
    };
    admin::add_tenant(&ctx, key).await.unwrap();
    let directory = world.store.directory().await.unwrap();
    let third = directory.tenant("third").unwrap();
    let new = callveil_domain::endpoint::NewEndpoint {
        url: "https://hooks.example.com/".to_owned(),
        kinds: Vec::new(),
        masked: false,
    };
    let made = callveil_domain::endpoint::add(&mut ctx, third, new).await.unwrap();
    let key = EndpointKey { tenant, id: EndpointId::parse(made.id.as_str()).unwrap() };
    let mut change = Change::at(at(2));
    change.directory.push(DirectoryWrite::RemoveEndpoint(key));
    world.applied(change).await;

    let entries = world.store.unsealed_audit(10).await.unwrap();
    let mut whats: Vec<&str> = entries.iter().map(|entry| entry.what.as_str()).collect();
    whats.sort_unstable();

    // What does not go through a use case has none.
    assert_eq!(whats, ["endpoint.put", "key.added", "tenant.added"]);
    assert!(entries.iter().all(|entry| entry.actor == "operator:root"));
}
