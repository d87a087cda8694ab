//! The requests that the load generator sends, as bytes.

use std::io::Write;
use std::sync::Arc;

use callveil_domain::allocation::AllocationId;

use crate::load::Requests;
use crate::world::{TENANT, people};

/// `POST .../greenvn`: two people who have not met, under a new connection id. `round` keeps the rounds apart.
pub fn create(authorization: &str, round: u64) -> Requests {
    let authorization = authorization.to_owned();
    Arc::new(move |n, buffer| {
        let serial = round * 1_000_000_000 + n;
        let (a, b) = people(serial);
        let body = format!(
            r#"{{"connection_id":"load-{serial}","aparty_numbers":["+{a}"],"bparty_numbers":["+{b}"],"usage":"twoway","deallocation_policy":{{"duration":"5h"}}}}"#
        );
        write(buffer, "POST", &format!("/v1/tenants/{TENANT}/greenvn"), &authorization, &body);
    })
}

/// `POST .../greenvn` for two of so few people that they are in many allocations at once.
pub fn create_hot(authorization: &str, round: u64, people: u64) -> Requests {
    let authorization = authorization.to_owned();
    Arc::new(move |n, buffer| {
        let serial = round * 1_000_000_000 + n;
        let chance = serial.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let a = chance % people;
        let b = (a + 1 + chance / people % (people - 1)) % people;
        let body = format!(
            r#"{{"connection_id":"hot-{serial}","aparty_numbers":["+9188{a:08}"],"bparty_numbers":["+9188{b:08}"],"usage":"twoway","deallocation_policy":{{"duration":"5h"}}}}"#
        );
        write(buffer, "POST", &format!("/v1/tenants/{TENANT}/greenvn"), &authorization, &body);
    })
}

/// `GET .../greenvn/{id}` of the allocations that there are, round and round.
pub fn read(authorization: &str, ids: &[AllocationId]) -> Requests {
    let (authorization, ids) = (authorization.to_owned(), ids.to_vec());
    Arc::new(move |n, buffer| {
        let id = ids[n as usize * 7_919 % ids.len()];
        write(buffer, "GET", &format!("/v1/tenants/{TENANT}/greenvn/{id}"), &authorization, "");
    })
}

/// `PUT .../call-party` that gives side B another number.
pub fn update(authorization: &str, ids: &[AllocationId], round: u64) -> Requests {
    let (authorization, ids) = (authorization.to_owned(), ids.to_vec());
    Arc::new(move |n, buffer| {
        let id = ids[n as usize * 7_919 % ids.len()];
        let (_, b) = people(500_000_000_000 + round * 1_000_000_000 + n);
        let path = format!("/v1/tenants/{TENANT}/greenvn/{id}/call-party");
        write(buffer, "PUT", &path, &authorization, &format!(r#"{{"bparty_numbers":["+{b}"]}}"#));
    })
}

fn write(buffer: &mut Vec<u8>, method: &str, path: &str, authorization: &str, body: &str) {
    // Writing to a vector cannot fail.
    let _ = write!(
        buffer,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
}
