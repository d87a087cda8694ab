//! LeadAssist's published sample of `PUT .../call-party`, with ids, credentials and masked digits replaced.

use serde_json::{Value, json};

use crate::world::{World, order};

#[tokio::test]
async fn the_sample_request_gets_the_sample_response() {
    let world = World::new().await;
    let mut wanted = order("abcd12345");
    wanted["preferences"] = json!({"greenvn": "+918000000001"});
    let id = world.post(wanted).await.granted().data()["greenvn_id"].clone();

    let reply = world
        .send_with(
            "PUT",
            &format!("/greenvn/{}/call-party", id.as_str().unwrap()),
            &[("content-type", "application/json"), ("cache-control", "no-cache")],
            r#"{
    "aparty_numbers": [
        "+919950000640", "+919900005641"
    ],
    
    "bparty_numbers": [
        "+917980000840", "+917980000841"
    ],
    "aparty_pins": [
        12340
    ],
    "bparty_pins": [
        2340
    ],
    "usage": "oneway"
}"#,
        )
        .await;

    let answer = reply.granted().json();
    assert_eq!((&answer["success"], &answer["status"]), (&json!(true), &json!(200)));
    assert_eq!((&answer["code"], &answer["message"]), (&Value::Null, &Value::Null));
    assert_eq!(
        answer["data"],
        json!({
            "connection_id": "abcd12345",
            "aparty_numbers": ["+919950000640", "+919900005641"],
            "bparty_numbers": ["+917980000840", "+917980000841"],
            "aparty_pins": [12340],
            "bparty_pins": [2340],
            "usage": "oneway",
            "state": "active",
            "green_vn": "+918000000001",
            "greenvn": "+918000000001",
            "greenvn_id": id,
        })
    );
    let warned = &answer["detail"]["warnings"];
    assert!(warned.to_string().contains("pins of 4 digits"), "{warned}");
}

#[tokio::test]
async fn what_the_samples_leave_to_be_filled_in_is_told_by_name() {
    let world = World::new().await;
    let path = format!("{}/call-party", world.allocated().await);
    let before = world.everything().await;

    for (usage, hint) in [
        ("oneway|twoway", "'oneway|twoway' shows the two choices; send one of them"),
        ("oneway|twoday", "'oneway|twoway' shows the two choices; send one of them"),
        ("twoday", "must be oneway or twoway; 'twoday' is a slip for twoway"),
    ] {
        let reply = world
            .put(
                &path,
                json!({
                    "aparty_numbers": ["+91995xxxx640", "+9199XXXX5641"],
                    "bparty_numbers": ["+91798****40", "+917980000841"],
                    "aparty_pins": [12340],
                    "bparty_pins": [2340],
                    "usage": usage,
                }),
            )
            .await;

        reply.refused(400, 16);
        assert!(
            reply.message().starts_with("aparty_numbers[0]: digits are masked with 'x'"),
            "{}",
            reply.text
        );
        let fields = reply.json()["detail"]["fields"].clone();
        let told: Vec<_> = fields.as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
        assert_eq!(told, ["aparty_numbers[0]", "aparty_numbers[1]", "bparty_numbers[0]", "usage"]);
        assert_eq!(fields[3]["message"], json!(hint));
        for masked in ["995", "640", "5641", "798"] {
            assert!(!reply.text.contains(masked), "{}", reply.text);
        }
    }
    let only_usage = json!({"aparty_numbers": ["+919900000001"], "usage": "oneway|twoway"});
    world.put(&path, only_usage).await.refused(400, 5);
    world.get("/greenvn/<greenvn_id>".replace(['<', '>'], "%3C").as_str()).await.refused(404, 1);
    assert_eq!(world.everything().await, before);
}
