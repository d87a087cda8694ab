//! The envelope that every answer of the API comes in (LeadAssist: success, status, code, message, data).
//!
//! `detail` is callveil's own and stands there only when it has something to say. Clients that were written for
//! LeadAssist do not look at it.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderValue, Response, StatusCode};
use callveil_domain::receipt::Warning;
use serde::Serialize;
use utoipa::ToSchema;

use crate::query::Cursor;

/// The status of every request that got what it asked for.
pub(crate) const OK: u16 = 200;

/// A request that got what it asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct Answer<T> {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// The HTTP status again.
    #[schema(value_type = i32, example = 200)]
    status: u16,
    /// Always null: it tells why a request was refused.
    #[schema(value_type = Option<i32>, required = true)]
    code: Option<u16>,
    /// Always null: it tells why a request was refused.
    #[schema(value_type = Option<String>, required = true)]
    message: Option<&'static str>,
    /// What was asked for.
    data: T,
    /// Which part of a list this is; beside lists only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    metadata: Option<Metadata>,
    /// What else is worth knowing.
    #[serde(skip_serializing_if = "Detail::is_empty")]
    #[schema(required = false)]
    detail: Detail,
}

/// A page of a list that goes on by cursors.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// The HTTP status again.
    #[schema(value_type = i32, example = 200)]
    status: u16,
    /// Always null: it tells why a request was refused.
    #[schema(value_type = Option<i32>, required = true)]
    code: Option<u16>,
    /// Always null: it tells why a request was refused.
    #[schema(value_type = Option<String>, required = true)]
    message: Option<&'static str>,
    /// What was asked for.
    data: Vec<T>,
    /// Which part of the list this is.
    metadata: PageMetadata,
}

/// Which part of a list a page is.
#[derive(Serialize, ToSchema)]
struct PageMetadata {
    /// How many a page holds at most.
    #[schema(value_type = i64, minimum = 1, maximum = 100)]
    page_size: usize,
    /// How many this page holds.
    #[schema(value_type = i64, minimum = 0)]
    count: usize,
    /// To be sent as `cursor` for what follows; null when nothing does.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// A request that was refused.
#[derive(Serialize, ToSchema)]
pub(crate) struct Refusal<'a> {
    /// Always false.
    #[schema(example = false)]
    pub success: bool,
    /// The HTTP status again.
    #[schema(value_type = i32, example = 400)]
    pub status: u16,
    /// Why: stable, and the thing to tell refusals apart by.
    #[schema(value_type = i32, example = 5)]
    pub code: u16,
    /// Why, in words that may change.
    #[schema(example = "usage: must be oneway or twoway")]
    pub message: &'a str,
    /// Always null.
    #[schema(value_type = Option<Object>, required = true)]
    pub data: (),
    /// What else is worth knowing.
    #[serde(skip_serializing_if = "Detail::is_empty")]
    #[schema(required = false)]
    pub detail: Detail,
}

/// Which part of a list an answer holds.
#[derive(Serialize, ToSchema)]
pub(crate) struct Metadata {
    /// The page, counted from 0.
    #[schema(value_type = i64, minimum = 0)]
    pub cursor: u64,
    /// How many a page holds at most.
    #[schema(value_type = i64, minimum = 1, maximum = 100)]
    pub page_size: usize,
    /// How many this page holds.
    #[schema(value_type = i64, minimum = 0)]
    pub count: usize,
    /// How many all pages hold.
    #[schema(value_type = i64, minimum = 0)]
    pub total: u64,
}

/// What an answer says beyond LeadAssist's.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Detail {
    /// The request was tried only, and nothing was kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub dry_run: bool,
    /// Everything that is wrong with the request, one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub fields: Vec<Field>,
    /// What kept every number of the pool from being lent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub shortage: Option<Box<Shortage>>,
    /// What is worth a second look although the request was granted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub warnings: Vec<Notice>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Field {
    /// Where it stands in the request.
    #[schema(example = "aparty_numbers[1]")]
    pub path: Cow<'static, str>,
    /// What is wrong with it.
    #[schema(example = "digits are masked with 'x'; send the whole number")]
    pub message: Cow<'static, str>,
}

/// One thing that is worth a second look.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Notice {
    /// Where it stands in the request, if at one place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "aparty_numbers[1]")]
    pub path: Option<Cow<'static, str>>,
    /// What there is to know.
    pub message: Cow<'static, str>,
    /// The chance of it, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0.0, maximum = 1.0)]
    pub chance: Option<f64>,
}

/// Why no number of the pool could be lent: each number counts under the first reason that excludes it, except
/// that one in use by several parties counts for each.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Shortage {
    /// How many numbers the pool has.
    #[schema(value_type = i64, minimum = 0)]
    pub pool: usize,
    /// The reasons, with how many numbers each excluded.
    pub excluded: Vec<Excluded>,
    /// The earliest moment at which the parties' own use of a number ends, in the tenant's zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2026-11-23T21:40:00+05:30")]
    pub frees_at: Option<String>,
}

/// One reason for a shortage.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Excluded {
    /// What excluded them: a field of the request, or a word for what lies in the pool.
    #[schema(example = "bparty_numbers[0]")]
    pub by: Cow<'static, str>,
    /// How many.
    #[schema(value_type = i64, minimum = 1)]
    pub count: usize,
    /// The reason in words.
    pub message: Cow<'static, str>,
}

impl Detail {
    fn is_empty(&self) -> bool {
        let Detail { dry_run, fields, shortage, warnings } = self;
        !dry_run && fields.is_empty() && shortage.is_none() && warnings.is_empty()
    }
}

impl From<&Warning> for Notice {
    fn from(warning: &Warning) -> Notice {
        match warning {
            Warning::GuessablePins { digits, chance } => Notice {
                path: None,
                message: format!(
                    "pins of {digits} digits are guessed with this chance a day by someone who uses up all wrong \
                     tries; longer pins are safer"
                )
                .into(),
                chance: Some(*chance),
            },
        }
    }
}

/// The body of an answer.
pub(crate) fn body<T: Serialize>(data: T, detail: Detail) -> Vec<u8> {
    write(&Answer { success: true, status: OK, code: None, message: None, data, metadata: None, detail })
}

/// The body of an answer that is a part of a list.
pub(crate) fn list<T: Serialize>(data: T, metadata: Metadata) -> Vec<u8> {
    let metadata = Some(metadata);
    write(&Answer {
        success: true,
        status: OK,
        code: None,
        message: None,
        data,
        metadata,
        detail: Detail::default(),
    })
}

/// Cuts a page out of what was found when one more than its size was asked for, and says whether there is a next.
pub(crate) fn cut<T>(found: &[T], page_size: usize) -> (&[T], bool) {
    let page = found.get(..page_size).unwrap_or(found);
    (page, found.len() > page.len())
}

/// The answer that is a page of a list.
pub(crate) fn page<T: Serialize>(data: Vec<T>, page_size: usize, next: Option<Cursor>) -> Response<Body> {
    let next_cursor = next.map(|cursor| cursor.to_string());
    let metadata = PageMetadata { page_size, count: data.len(), next_cursor };
    ok(write(&Page { success: true, status: OK, code: None, message: None, data, metadata }))
}

/// JSON as bytes.
pub(crate) fn write<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    serde_json::to_writer(&mut bytes, value).expect("law: what is answered is plain data with text keys");
    bytes
}

/// An answer with this body.
pub(crate) fn ok(body: Vec<u8>) -> Response<Body> {
    respond(OK, body)
}

/// An answer with this body that tells of one thing at this version of it.
pub(crate) fn ok_at(version: u64, body: Vec<u8>) -> Response<Body> {
    let mut response = ok(body);
    response.headers_mut().insert(ETAG, etag(version));
    response
}

/// A version as an entity tag.
pub(crate) fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("law: digits and quotes may stand in a header")
}

/// A JSON response.
pub(crate) fn respond(status: u16, body: Vec<u8>) -> Response<Body> {
    respond_as("application/json", status, body)
}

/// A response of this type.
pub(crate) fn respond_as(content_type: &'static str, status: u16, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Answers tell telephone numbers, which nobody on the way is to keep.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
