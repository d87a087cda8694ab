//! `GET /recordings/{name}`: a recording, for whoever has a link to it. A link that is no longer good, one that was never
//! ours, and a recording that is gone are answered alike.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use callveil_domain::calls::RecordingName;
use callveil_domain::recording::Links;
use serde::Deserialize;
use tower_http::services::ServeFile;

use crate::ApiState;
use crate::problem::{Kind, Problem};

/// Where recordings lie, and who may hear them.
#[derive(Clone, Debug)]
pub struct Recordings {
    /// The directory that holds their files.
    pub directory: PathBuf,
    /// The links that we give out.
    pub links: Links,
}

/// The link to a recording, where recordings are kept: good for as long as the operator chose, or as was asked for.
pub(crate) fn link(state: &ApiState, name: &RecordingName, lifetime: Option<Duration>) -> Option<String> {
    let links = &state.config.recordings.as_ref()?.links;
    let now = state.node.now();
    Some(match lifetime {
        None => links.link(name, now),
        Some(lifetime) => links.link_until(name, now.plus(lifetime)),
    })
}

/// What stands behind the `?` of a link.
#[derive(Deserialize)]
pub(crate) struct Permission {
    expires: i64,
    signature: String,
}

/// Sends the file, or the part of it that a player asks for.
pub(crate) async fn get(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    permission: Result<Query<Permission>, QueryRejection>,
    request: Request,
) -> Response<Body> {
    let Some(file) = permission.ok().and_then(|Query(permission)| allowed(&state, &name, &permission)) else {
        return Problem::from(Kind::NoSuchPath).into_response();
    };
    let mut file = ServeFile::new(file);
    let Ok(mut answer) = file.try_call(request).await else {
        return Problem::from(Kind::NoSuchPath).into_response();
    };
    if answer.status() == StatusCode::NOT_FOUND {
        return Problem::from(Kind::NoSuchPath).into_response();
    }
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    answer.map(Body::new)
}

fn allowed(state: &ApiState, name: &str, permission: &Permission) -> Option<PathBuf> {
    let recordings = state.config.recordings.as_ref()?;
    let name = RecordingName::parse(name)?;
    let Permission { expires, signature } = permission;
    let allowed = recordings.links.allows(&name, *expires, signature, state.node.now());
    allowed.then(|| recordings.directory.join(name.as_str()))
}

#[cfg(test)]
mod tests {
    use axum::http::header::{CONTENT_RANGE, RANGE};
    use callveil_domain::recording::SECRET;
    use http_body_util::BodyExt;
    use tempfile::TempDir;
    use tower::ServiceExt;

    use super::*;
    use crate::world::World;
    use crate::{ApiConfig, router};

    const NAME: &str = "00112233445566778899aabbccddeeff.wav";

    struct Shelf {
        world: World,
        links: Links,
        _directory: TempDir,
    }

    async fn shelf() -> Shelf {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join(NAME), "RIFF and sound").unwrap();
        std::fs::write(directory.path().join("links.key"), "secret").unwrap();
        let links = Links::new(String::new(), [1; SECRET], Duration::from_secs(60));
        let recordings = Recordings { directory: directory.path().to_owned(), links: links.clone() };
        let world = World::with(ApiConfig { recordings: Some(recordings), ..ApiConfig::default() }).await;
        Shelf { world, links, _directory: directory }
    }

    impl Shelf {
        fn link(&self, name: &str) -> String {
            self.links.link(&RecordingName::parse(name).unwrap(), self.world.node.now())
        }

        async fn get(&self, link: &str, range: Option<&str>) -> (StatusCode, String, Option<String>) {
            let mut request = Request::get(link);
            if let Some(range) = range {
                request = request.header(RANGE, range);
            }
            let request = request.body(Body::empty()).unwrap();
            let answer = router(self.world.api.clone()).oneshot(request).await.unwrap();
            let part = answer.headers().get(CONTENT_RANGE).map(|value| value.to_str().unwrap().to_owned());
            let status = answer.status();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap(), part)
        }
    }

    #[tokio::test]
    async fn whoever_has_a_link_hears_the_recording_or_a_part_of_it() {
        let shelf = shelf().await;
        let link = shelf.link(NAME);

        let (status, body, _) = shelf.get(&link, None).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "RIFF and sound"));
        let (status, body, part) = shelf.get(&link, Some("bytes=9-")).await;
        assert_eq!((status, body.as_str()), (StatusCode::PARTIAL_CONTENT, "sound"));
        assert_eq!(part.as_deref(), Some("bytes 9-13/14"));
    }

    #[tokio::test]
    async fn without_a_good_link_there_is_nothing() {
        let shelf = shelf().await;
        let good = shelf.link(NAME);
        let gone = shelf.link("ffeeddccbbaa99887766554433221100.wav");
        for link in [
            format!("/recordings/{NAME}"),
            format!("/recordings/{NAME}?expires=99999999999&signature=00"),
            good.replace("expires=", "expires=9"),
            good.replace(NAME, "links.key"),
            good.replace(NAME, "..%2F..%2Fetc%2Fpasswd"),
            gone,
        ] {
            let (status, body, _) = shelf.get(&link, None).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{link}");
            assert!(!body.contains("RIFF") && !body.contains("secret"));
        }
    }

    #[tokio::test]
    async fn a_link_ends_with_its_time() {
        let shelf = shelf().await;
        let link = shelf.link(NAME);

        shelf.world.wait(Duration::from_secs(61));

        assert_eq!(shelf.get(&link, None).await.0, StatusCode::NOT_FOUND);
    }
}
