//! Tenants, keys, settings and pools.

use std::collections::BTreeMap;

use callveil_domain::number::PhoneNumber;
use callveil_domain::settings::Settings;
use callveil_domain::store::{Change, Claim, ClaimKey, Conflict, DirectoryConflict, DirectoryWrite};
use callveil_domain::tenant::{ApiKey, Sid};
use callveil_domain::trunk::{Trunk, TrunkName};
use callveil_domain::virtual_number::{FlowId, Lending, NumberType, Region, VirtualNumber};

use crate::world::{World, acme, allocation, at, other, pin, put, vn};

fn write(write: DirectoryWrite) -> Change {
    let mut change = Change::at(at(100));
    change.directory.push(write);
    change
}

async fn refused(world: &World, refused: DirectoryWrite) -> DirectoryConflict {
    let conflict = world.refused(write(refused)).await;
    let Conflict::Directory(conflict) = conflict else { panic!("{conflict:?}") };
    conflict
}

fn nobody() -> Sid {
    Sid::parse("nobody").unwrap()
}

pub async fn a_tenant_is_added_once(world: &World) {
    let third = Sid::parse("Third_1.x").unwrap();
    world.applied(write(DirectoryWrite::AddTenant(third.clone()))).await;

    let again = refused(world, DirectoryWrite::AddTenant(third)).await;

    assert_eq!(again, DirectoryConflict::TenantExists);
    let directory = world.store.directory().await.unwrap();
    let sids: Vec<&str> = directory.tenants().map(|t| t.sid.as_str()).collect();
    assert_eq!(sids, ["Third_1.x", "acme", "other"]);
}

fn trunk(name: &str, settings: &[(&str, &str)]) -> Trunk {
    let mut trunk = Trunk::new(TrunkName::parse(name).unwrap());
    for (setting, value) in settings {
        trunk.set(setting, value).unwrap();
    }
    trunk
}

pub async fn a_trunk_is_kept_changed_and_removed(world: &World) {
    let second = trunk("second", &[("sources", "192.0.2.0/24"), ("calls", "30")]);
    let login = [("targets", "sip.example.com"), ("user", "callveil"), ("password", "p=1, \u{e9}")];
    let first = trunk("first", &login);
    let changed =
        trunk("second", &[("targets", "192.0.2.1:5080, [2001:db8::1]:5060"), ("dial_rules", "=99")]);

    world.applied(write(DirectoryWrite::PutTrunk(second.clone()))).await;
    let before = world.store.revision().await.unwrap();
    world.applied(write(DirectoryWrite::PutTrunk(first.clone()))).await;
    assert!(world.store.revision().await.unwrap() > before, "nodes are told");
    assert_eq!(world.store.directory().await.unwrap().trunks(), [first.clone(), second]);

    world.applied(write(DirectoryWrite::PutTrunk(changed.clone()))).await;
    assert_eq!(world.store.directory().await.unwrap().trunks(), [first.clone(), changed.clone()]);

    world.applied(write(DirectoryWrite::RemoveTrunk(first.name.clone()))).await;
    assert_eq!(world.store.directory().await.unwrap().trunks(), [changed]);
    let gone = refused(world, DirectoryWrite::RemoveTrunk(first.name)).await;
    assert_eq!(gone, DirectoryConflict::NoTrunk);
}

fn set(tenant: Sid, name: &'static str, value: &str) -> DirectoryWrite {
    DirectoryWrite::SetSetting { tenant, name, value: value.to_owned() }
}

pub async fn settings_are_kept_and_read_back(world: &World) {
    world.applied(write(set(acme(), "deletion_time", "60"))).await;
    world.applied(write(set(acme(), "number_choice", "pack"))).await;
    world.applied(write(set(acme(), "deletion_time", "90"))).await;

    let directory = world.store.directory().await.unwrap();
    let mut expected = Settings::default();
    expected.set("deletion_time", "90").unwrap();
    expected.set("number_choice", "pack").unwrap();
    assert_eq!(directory.tenant("acme").unwrap().settings, expected);
    assert_eq!(directory.tenant("other").unwrap().settings, Settings::default());
    assert_eq!(refused(world, set(nobody(), "deletion_time", "60")).await, DirectoryConflict::NoTenant);
}

pub async fn a_setting_may_rest_on_another(world: &World) {
    world.applied(write(set(acme(), "regions", "ZZ"))).await;
    world.applied(write(set(acme(), "default_region", "ZZ"))).await;

    let directory = world.store.directory().await.unwrap();

    let settings = &directory.tenant("acme").unwrap().settings;
    assert_eq!(settings.default_region, Some(Region::parse("ZZ").unwrap()));
}

fn key(tenant: Sid, id: &str) -> ApiKey {
    ApiKey { id: id.to_owned(), tenant, token_hash: [7; 32], created_at: at(3), revoked_at: None }
}

pub async fn a_tenant_has_two_live_keys_at_most(world: &World) {
    let add = |tenant, id| DirectoryWrite::AddKey(key(tenant, id));
    world.applied(write(add(acme(), "one"))).await;
    world.applied(write(add(acme(), "two"))).await;
    world.applied(write(add(other(), "three"))).await;

    assert_eq!(refused(world, add(acme(), "four")).await, DirectoryConflict::TooManyKeys);
    assert_eq!(refused(world, add(nobody(), "five")).await, DirectoryConflict::NoTenant);

    let directory = world.store.directory().await.unwrap();
    assert_eq!(directory.keys_for("acme"), [&key(acme(), "one"), &key(acme(), "two")]);
    assert_eq!(directory.keys_for("three"), [&key(other(), "three")]);
}

pub async fn a_revoked_key_is_live_no_more(world: &World) {
    let revoke = |tenant, id: &str| DirectoryWrite::RevokeKey { tenant, id: id.to_owned() };
    world.applied(write(DirectoryWrite::AddKey(key(acme(), "one")))).await;
    world.applied(write(DirectoryWrite::AddKey(key(acme(), "two")))).await;
    assert_eq!(refused(world, revoke(other(), "one")).await, DirectoryConflict::NoKey);
    assert_eq!(refused(world, revoke(acme(), "three")).await, DirectoryConflict::NoKey);
    assert_eq!(refused(world, revoke(nobody(), "one")).await, DirectoryConflict::NoTenant);

    world.applied(write(revoke(acme(), "one"))).await;

    assert_eq!(refused(world, revoke(acme(), "one")).await, DirectoryConflict::NoKey);
    let directory = world.store.directory().await.unwrap();
    assert_eq!(directory.keys_for("acme"), [&key(acme(), "two")]);
    world.applied(write(DirectoryWrite::AddKey(key(acme(), "three")))).await;
}

async fn pool(world: &World, tenant: &Sid) -> BTreeMap<PhoneNumber, VirtualNumber> {
    let directory = world.store.directory().await.unwrap();
    let numbers = directory.tenant(tenant.as_str()).unwrap().pool.numbers().to_vec();
    numbers.into_iter().map(|pooled| (pooled.number.number, pooled.number)).collect()
}

pub async fn a_number_is_in_one_pool(world: &World) {
    assert_eq!(refused(world, put(&other(), vn(1))).await, DirectoryConflict::OthersNumber(vn(1)));
    assert_eq!(refused(world, put(&nobody(), vn(20))).await, DirectoryConflict::NoTenant);

    world.applied(write(put(&other(), vn(20)))).await;

    assert_eq!(pool(world, &other()).await.into_keys().collect::<Vec<_>>(), [vn(20)]);
    assert_eq!(pool(world, &acme()).await.len(), 9);
}

pub async fn a_number_put_again_is_open_with_what_is_new(world: &World) {
    let told = |region: &str, number_type, flow: &str| VirtualNumber {
        number: vn(1),
        region: Some(Region::parse(region).unwrap()),
        number_type: Some(number_type),
        flow: Some(FlowId::parse(flow).unwrap()),
        state: Lending::Open,
    };
    let put = |number: VirtualNumber| DirectoryWrite::PutNumber { tenant: acme(), number };
    for number in [told("KA", NumberType::Mobile, "f1"), told("DL", NumberType::TollFree, "f2")] {
        world.applied(write(set_lending(vn(1), Lending::Draining))).await;
        assert_eq!(pool(world, &acme()).await[&vn(1)].state, Lending::Draining);

        world.applied(write(put(number.clone()))).await;

        assert_eq!(pool(world, &acme()).await[&vn(1)], number);
    }
}

fn set_lending(number: PhoneNumber, lending: Lending) -> DirectoryWrite {
    DirectoryWrite::SetLending { tenant: acme(), number, lending }
}

pub async fn only_numbers_of_the_pool_change_their_lending(world: &World) {
    world.applied(write(put(&other(), vn(20)))).await;

    for stranger in [vn(20), vn(21)] {
        let conflict = refused(world, set_lending(stranger, Lending::Draining)).await;
        assert_eq!(conflict, DirectoryConflict::NoNumber(stranger));
    }
}

fn remove(number: PhoneNumber, now: i64) -> Change {
    let mut change = Change::at(at(now));
    change.directory.push(DirectoryWrite::RemoveNumber { tenant: acme(), number });
    change
}

pub async fn a_number_is_removed_when_nothing_is_held_on_it(world: &World) {
    let lent = world.lend(allocation(1, vn(1), 1, 2)).await;
    world.applied(write(put(&other(), vn(20)))).await;
    let conflict = async |number, now| {
        let conflict = world.refused(remove(number, now)).await;
        let Conflict::Directory(conflict) = conflict else { panic!("{conflict:?}") };
        conflict
    };
    let free_at = lent.held_until().since(at(0)).as_secs().cast_signed();

    assert_eq!(conflict(vn(20), 5).await, DirectoryConflict::NoNumber(vn(20)));
    assert_eq!(conflict(vn(21), 5).await, DirectoryConflict::NoNumber(vn(21)));
    assert_eq!(conflict(vn(1), 5).await, DirectoryConflict::NotDraining(vn(1)));
    world.applied(write(set_lending(vn(1), Lending::Draining))).await;
    assert_eq!(conflict(vn(1), 5).await, DirectoryConflict::StillHeld(vn(1)));
    assert_eq!(conflict(vn(1), free_at - 1).await, DirectoryConflict::StillHeld(vn(1)));
    world.applied(remove(vn(1), free_at)).await;

    assert_eq!(conflict(vn(1), free_at).await, DirectoryConflict::NoNumber(vn(1)));
    assert!(!pool(world, &acme()).await.contains_key(&vn(1)));
    world.applied(write(put(&other(), vn(1)))).await;
}

pub async fn a_number_is_not_removed_under_a_pin_or_a_whole_claim(world: &World) {
    let keys =
        [ClaimKey::Pin { pin: pin(4839), virtual_number: vn(1) }, ClaimKey::Whole { virtual_number: vn(1) }];
    world.applied(write(set_lending(vn(1), Lending::Draining))).await;
    for (n, key) in keys.into_iter().enumerate() {
        let begin = 100 * i64::try_from(n).unwrap();
        let mut take = Change::at(at(begin));
        let allocation = allocation(begin, vn(1), 1, 2).id;
        take.take.push(Claim { key, allocation, held_until: at(begin + 50) });
        world.applied(take).await;

        let conflict = world.refused(remove(vn(1), begin + 49)).await;

        assert_eq!(conflict, Conflict::Directory(DirectoryConflict::StillHeld(vn(1))));
    }
    world.applied(remove(vn(1), 150)).await;
}

pub async fn every_change_of_the_directory_moves_the_revision(world: &World) {
    let writes = [
        DirectoryWrite::AddTenant(Sid::parse("third").unwrap()),
        set(acme(), "deletion_time", "60"),
        DirectoryWrite::AddKey(key(acme(), "one")),
        DirectoryWrite::RevokeKey { tenant: acme(), id: "one".to_owned() },
        put(&acme(), vn(20)),
        set_lending(vn(20), Lending::Draining),
        DirectoryWrite::RemoveNumber { tenant: acme(), number: vn(20) },
    ];
    for moving in writes {
        let before = world.store.revision().await.unwrap();

        world.applied(write(moving)).await;

        let after = world.store.revision().await.unwrap();
        assert!(after > before);
        assert_eq!(world.store.directory().await.unwrap().revision, after);
    }
}

pub async fn other_changes_leave_the_revision(world: &World) {
    let before = world.store.revision().await.unwrap();

    world.lend(allocation(1, vn(1), 1, 2)).await;
    world.applied(Change::at(at(5))).await;

    assert_eq!(world.store.revision().await.unwrap(), before);
}
