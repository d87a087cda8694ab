//! The one table from refusal to status, code and sentence. No status of a refusal is written anywhere else.
//!
//! Statuses and codes are LeadAssist's where it has them. Sentences are ours, except that of code 18, and may
//! change; none contains a telephone number, a pin or anything else that the client sent in such a field.
//!
//! A request with several faults is told all of them in `detail.fields`; code and message are those of the fault
//! that comes first in the order of [`Kind`], and among equals in the order of the request.

use std::any::Any;
use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{ETAG, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Response};
use axum::response::IntoResponse;
use callveil_domain::Failure;
use callveil_domain::allocation::Side;
use callveil_domain::allocation::change_number::ChangeNumberRefused;
use callveil_domain::allocation::create::{CreateRefused, PreferenceRefused};
use callveil_domain::allocation::release::ReleaseRefused;
use callveil_domain::allocation::update_parties::UpdateRefused;
use callveil_domain::choice::Shortage;
use callveil_domain::delivery::ReplayRefused;
use callveil_domain::endpoint::EndpointRefused;
use callveil_domain::parties::{Fault, Wrong};
use callveil_domain::settings::SettingRefused;
use callveil_domain::store::StoreError;
use callveil_domain::tenant::Tenant;

use crate::envelope::{self, Detail, Excluded, Field, Refusal};
use crate::times;

/// Every kind of refusal, those of a request's fields first, in the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// A mandatory parameter was not sent.
    Missing,
    /// A number is none, or may not be a party.
    InvalidNumber,
    /// A parameter is not what it may be.
    Bad,
    /// A number stands on both sides.
    OnBothSides,
    /// A number or a pin is somebody else's on the virtual number, or a pin stands on both sides.
    Taken,
    /// The body is no JSON object that can be read.
    Unreadable,
    /// A list cannot be filtered by this.
    UnknownFilter,
    /// A list's times are no times, or in the wrong order.
    BadDates,
    /// Credentials are missing or wrong.
    NotAuthenticated,
    /// The credentials are another tenant's.
    OtherTenant,
    /// It is for the operator to do.
    OperatorsOnly,
    /// The region is none that the tenant may ask for.
    UnknownRegion,
    /// The tenant has no such call flow.
    UnknownFlow,
    /// The tenant has no such allocation.
    NotFound,
    /// The tenant has no such call.
    NoSuchCall,
    /// The tenant has no such event.
    NoSuchEvent,
    /// The tenant has no such endpoint.
    NoSuchEndpoint,
    /// No operation has this path.
    NoSuchPath,
    /// No operation of this path has this method.
    MethodNotAllowed,
    /// No endpoint wants the event.
    NobodyWants,
    /// The tenant has as many endpoints as it may have.
    TooManyEndpoints,
    /// The endpoint is a setting, and is changed there.
    EndpointOfSetting,
    /// The connection id names an active allocation.
    ConnectionInUse,
    /// The allocation has ended.
    Ended,
    /// The allocation is of another version than `If-Match` names.
    OtherVersion,
    /// The idempotency key was used for another body.
    OtherBody,
    /// No virtual number may be lent.
    NoVirtualNumber,
    /// The body is longer than the limit.
    TooLarge,
    /// The tenant sends more than its limit.
    TooMany,
    /// As many requests are under way as may be.
    Shed,
    /// The store has too much waiting.
    Busy,
    /// The store cannot be written to or read from.
    StoreUnavailable,
    /// The answer took too long.
    TimedOut,
    /// A defect.
    Internal,
}

impl Kind {
    /// Status, code, and the sentence where there is no better one.
    fn row(self) -> (u16, u16, &'static str) {
        match self {
            Kind::Missing => (400, 3, "a mandatory parameter is missing"),
            Kind::InvalidNumber => (400, 16, "a number is not valid"),
            Kind::Bad => (400, 5, "a parameter is not what it may be"),
            Kind::OnBothSides => (409, 14, "the same number stands on both sides"),
            Kind::Taken => (409, 19, "a number or pin is in use on this virtual number already"),
            Kind::Unreadable => (400, 5, "the body must be a JSON object"),
            Kind::UnknownFilter => (400, 2, "unsupported search filter"),
            Kind::BadDates => (400, 23, "invalid date range"),
            Kind::NotAuthenticated => (401, 7, "authentication is missing or failed"),
            Kind::OtherTenant => (403, 8, "these credentials do not open this tenant"),
            Kind::OperatorsOnly => (403, 8, "only the operator may change this"),
            Kind::UnknownRegion => (403, 15, "the region is not supported"),
            Kind::UnknownFlow => (422, 50, "there is no such call flow"),
            Kind::NotFound => (404, 1, "GreenVN not found"),
            Kind::NoSuchCall => (404, 1, "there is no such call"),
            Kind::NoSuchEvent => (404, 1, "there is no such event"),
            Kind::NoSuchEndpoint => (404, 1, "there is no such endpoint"),
            Kind::NobodyWants => (409, 8, "no endpoint that is enabled wants this event"),
            Kind::TooManyEndpoints => (409, 8, "there are as many endpoints as there may be"),
            Kind::EndpointOfSetting => (409, 8, "this endpoint is a setting: change the setting instead"),
            Kind::NoSuchPath => (404, 5, "there is nothing at this path; /openapi.json lists what there is"),
            Kind::MethodNotAllowed => (405, 8, "this path does not take this method; see the Allow header"),
            Kind::ConnectionInUse => (409, 18, "Allocation exists for this connection id."),
            Kind::Ended => (410, 22, "this GreenVN is already deleted"),
            Kind::OtherVersion => (412, 5, "the allocation is of another version than If-Match names"),
            Kind::OtherBody => (422, 5, "this Idempotency-Key was used for a request with another body"),
            Kind::NoVirtualNumber => (452, 4, "no GreenVN is free for these parties; see detail.shortage"),
            Kind::TooLarge => (413, 17, "the body is too large"),
            Kind::TooMany => (429, 17, "too many requests; try again after the seconds in Retry-After"),
            Kind::Shed => {
                (503, 0, "too many requests are under way; nothing was done, try again in a second")
            }
            Kind::Busy => (503, 0, "too much waits to be written; nothing was done, try again in a second"),
            Kind::StoreUnavailable => (503, 0, "the data cannot be reached now; try again in a few seconds"),
            Kind::TimedOut => (
                503,
                0,
                "the answer took too long; a look-up by connection_id tells what became of the request",
            ),
            Kind::Internal => (500, 0, "internal error"),
        }
    }

    /// Its HTTP status.
    pub fn status(self) -> u16 {
        self.row().0
    }

    /// What is said of it where there is no better sentence.
    pub fn sentence(self) -> &'static str {
        self.row().2
    }

    /// Its number in the contract.
    pub fn code(self) -> u16 {
        self.row().1
    }

    /// The header that comes with it whatever else is known.
    fn header(self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Kind::NotAuthenticated => Some((
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"callveil\", charset=\"UTF-8\""),
            )),
            Kind::Shed | Kind::Busy => Some((RETRY_AFTER, HeaderValue::from_static("1"))),
            Kind::StoreUnavailable | Kind::TimedOut => Some((RETRY_AFTER, HeaderValue::from_static("5"))),
            Kind::Missing
            | Kind::InvalidNumber
            | Kind::Bad
            | Kind::OnBothSides
            | Kind::Taken
            | Kind::Unreadable
            | Kind::UnknownFilter
            | Kind::BadDates
            | Kind::OtherTenant
            | Kind::OperatorsOnly
            | Kind::UnknownRegion
            | Kind::UnknownFlow
            | Kind::NotFound
            | Kind::NoSuchCall
            | Kind::NoSuchEvent
            | Kind::NoSuchEndpoint
            | Kind::NobodyWants
            | Kind::TooManyEndpoints
            | Kind::EndpointOfSetting
            | Kind::NoSuchPath
            | Kind::MethodNotAllowed
            | Kind::ConnectionInUse
            | Kind::Ended
            | Kind::OtherVersion
            | Kind::OtherBody
            | Kind::NoVirtualNumber
            | Kind::TooLarge
            | Kind::TooMany
            | Kind::Internal => None,
        }
    }
}

/// A refusal with everything that is said about it.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: Kind,
    message: Option<Cow<'static, str>>,
    detail: Detail,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A refusal in words of its own.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Problem {
        Problem { message: Some(message.into()), ..Problem::from(kind) }
    }

    /// The same with a header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.headers.push((name, value));
        self
    }

    /// What is wrong at one place of the request.
    pub fn at(kind: Kind, path: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) -> Problem {
        let mut faults = Faults::default();
        faults.push(kind, path, why);
        faults.into_problem()
    }

    /// `If-Match` names another version than this, which there is.
    fn other_version(version: u64) -> Problem {
        let message = format!("the allocation is of version {version} by now; read it again");
        Problem::new(Kind::OtherVersion, message).with(ETAG, envelope::etag(version))
    }

    /// What a failed use case is answered with.
    pub fn of<R>(failure: Failure<R>, refused: impl FnOnce(R) -> Problem) -> Problem {
        match failure {
            Failure::Refused(refusal) => refused(refusal),
            Failure::Store(error) => error.into(),
        }
    }

    /// Why an allocation is not made.
    pub fn of_create(refused: CreateRefused, tenant: &Tenant) -> Problem {
        match refused {
            CreateRefused::ConnectionInUse => Kind::ConnectionInUse.into(),
            CreateRefused::Parties(faults) => of_parties(&faults),
            CreateRefused::Preferences(why) => of_preferences(why, tenant),
            CreateRefused::NoVirtualNumber(shortage) => {
                of_shortage(&shortage, tenant, "not the number that was asked for with strictness")
            }
            CreateRefused::Answered => Kind::Busy.into(),
        }
    }

    /// Why parties are not changed.
    pub fn of_update(refused: UpdateRefused) -> Problem {
        const NUMBER: &str = "is in use on this virtual number by another allocation; nothing was changed";
        const PIN: &str = "is in use as a pin on this virtual number already; nothing was changed";
        match refused {
            UpdateRefused::NotFound => Kind::NotFound.into(),
            UpdateRefused::Ended => Kind::Ended.into(),
            UpdateRefused::OtherVersion(version) => Problem::other_version(version),
            UpdateRefused::Parties(faults) => of_parties(&faults),
            UpdateRefused::NumberTaken(side, at) => Problem::at(Kind::Taken, number_path(side, at), NUMBER),
            UpdateRefused::PinTaken(side, at) => Problem::at(Kind::Taken, pin_path(side, at), PIN),
            UpdateRefused::NoRoomForPins { at_most } => Problem::new(
                Kind::Taken,
                format!("the virtual number carries as many pins as it may, {at_most}; nothing was changed"),
            ),
            UpdateRefused::Answered => Kind::Busy.into(),
        }
    }

    /// Why a virtual number is not changed.
    pub fn of_change_number(refused: ChangeNumberRefused, tenant: &Tenant) -> Problem {
        match refused {
            ChangeNumberRefused::NotFound => Kind::NotFound.into(),
            ChangeNumberRefused::Ended => Kind::Ended.into(),
            ChangeNumberRefused::OtherVersion(version) => Problem::other_version(version),
            ChangeNumberRefused::Preferences(why) => of_preferences(why, tenant),
            ChangeNumberRefused::NoVirtualNumber(shortage) => of_shortage(
                &shortage,
                tenant,
                "the number to be changed, or not the one that was asked for with strictness",
            ),
            ChangeNumberRefused::Answered => Kind::Busy.into(),
        }
    }

    /// Why an allocation is not ended.
    pub fn of_release(refused: ReleaseRefused) -> Problem {
        match refused {
            ReleaseRefused::NotFound => Kind::NotFound.into(),
            ReleaseRefused::Ended => Kind::Ended.into(),
            ReleaseRefused::OtherVersion(version) => Problem::other_version(version),
            ReleaseRefused::Answered => Kind::Busy.into(),
        }
    }

    /// Why an endpoint is not made or changed.
    pub fn of_endpoint(refused: EndpointRefused) -> Problem {
        match refused {
            EndpointRefused::NotFound => Kind::NoSuchEndpoint.into(),
            EndpointRefused::Url(why) => Problem::at(Kind::Bad, "url", why),
            EndpointRefused::TooMany => Kind::TooManyEndpoints.into(),
            EndpointRefused::Setting => Kind::EndpointOfSetting.into(),
        }
    }

    /// Why an event is not sent again.
    pub fn of_replay(refused: ReplayRefused) -> Problem {
        match refused {
            ReplayRefused::NotFound => Kind::NoSuchEvent.into(),
            ReplayRefused::NobodyWants => Kind::NobodyWants.into(),
        }
    }

    /// Why settings are not changed.
    pub fn of_settings(refused: Vec<SettingRefused>) -> Problem {
        let mut faults = Faults::default();
        for setting in refused {
            match setting {
                SettingRefused::Unknown { name: _ } => faults.push(Kind::Bad, "", "is no setting"),
                SettingRefused::Value { name, why } => faults.push(Kind::Bad, name, why),
            }
        }
        faults.into_problem()
    }
}

fn of_parties(faults: &[Fault]) -> Problem {
    let mut told = Faults::default();
    for Fault { side, index, what } in faults {
        let (side, index) = (*side, *index);
        match what {
            Wrong::Foreign => told.push(
                Kind::InvalidNumber,
                number_path(side, index),
                "is of another country, which the setting intl_num_sup does not allow",
            ),
            Wrong::NeverDialled(why) => {
                told.push(
                    Kind::InvalidNumber,
                    number_path(side, index),
                    format!("is {why}, which is never dialled"),
                );
            }
            Wrong::OwnVirtualNumber => told.push(
                Kind::InvalidNumber,
                number_path(side, index),
                "is a virtual number of the pool, which cannot be a party",
            ),
            Wrong::OnBothSides => {
                told.push(Kind::OnBothSides, number_path(side, index), "stands on the other side too");
            }
            Wrong::PinOnBothSides => {
                told.push(Kind::Taken, pin_path(side, index), "stands on the other side too");
            }
        }
    }
    told.into_problem()
}

fn of_preferences(why: PreferenceRefused, tenant: &Tenant) -> Problem {
    match why {
        PreferenceRefused::UnknownRegion => {
            let regions: Vec<&str> = tenant.settings.regions.iter().map(|r| r.as_str()).collect();
            let why = format!("is none of the regions that may be asked for: {}", regions.join(", "));
            Problem::at(Kind::UnknownRegion, "preferences.region", why)
        }
        PreferenceRefused::UnknownPostalCode => Problem::at(
            Kind::Bad,
            "preferences.pin_code",
            "lies in none of the regions that may be asked for, and strictness wants it to",
        ),
        PreferenceRefused::UnknownFlow(flows) if flows.is_empty() => {
            Problem::at(Kind::UnknownFlow, "flow_id", "this tenant has no call flows: leave flow_id out")
        }
        PreferenceRefused::UnknownFlow(flows) => {
            let flows: Vec<&str> = flows.iter().map(|f| f.as_str()).collect();
            Problem::at(
                Kind::UnknownFlow,
                "flow_id",
                format!("is none of this tenant's: {}", flows.join(", ")),
            )
        }
    }
}

fn of_shortage(shortage: &Shortage, tenant: &Tenant, not_it: &'static str) -> Problem {
    let Shortage {
        pool,
        draining,
        other_flow,
        not_the_number,
        other_region,
        other_type,
        in_use_by,
        pins,
        occupied,
        frees_at,
    } = shortage;
    let mut excluded = Vec::new();
    let mut exclude = |by: Cow<'static, str>, count: usize, why: &'static str| {
        if count > 0 {
            let message = format!("{count} of {pool}: {why}").into();
            excluded.push(Excluded { by, count, message });
        }
    };
    exclude("draining".into(), *draining, "being withdrawn from the pool");
    exclude("flow_id".into(), *other_flow, "of another call flow");
    exclude("greenvn".into(), *not_the_number, not_it);
    exclude(
        "preferences.region".into(),
        *other_region,
        "of another region than was asked for with strictness",
    );
    exclude("preferences.type".into(), *other_type, "of another type than was asked for with strictness");
    for (side, at, count) in in_use_by {
        exclude(number_path(*side, *at), *count, "in use by this party, or cooling after such use");
    }
    exclude("pins".into(), *pins, "with one of these pins already, or as many pins as it may carry");
    exclude("occupied".into(), *occupied, "with an allocation, where each is to be alone");

    let frees_at = frees_at.and_then(|at| times::write(at, tenant.settings.time_zone));
    let message = match pool {
        0 => "no GreenVN is free: the pool has no numbers".to_owned(),
        _ => format!(
            "no GreenVN is free for these parties: none of the pool's {pool} fits; see detail.shortage"
        ),
    };
    let shortage = envelope::Shortage { pool: *pool, excluded, frees_at };
    let mut problem = Problem::new(Kind::NoVirtualNumber, message);
    problem.detail.shortage = Some(Box::new(shortage));
    problem
}

/// Where a party's number stands in a request.
pub(crate) fn number_path(side: Side, index: usize) -> Cow<'static, str> {
    match side {
        Side::A => format!("aparty_numbers[{index}]").into(),
        Side::B => format!("bparty_numbers[{index}]").into(),
    }
}

fn pin_path(side: Side, index: usize) -> Cow<'static, str> {
    match side {
        Side::A => format!("aparty_pins[{index}]").into(),
        Side::B => format!("bparty_pins[{index}]").into(),
    }
}

/// The faults of one request, gathered so that all are told at once.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(Kind, Field)>);

impl Faults {
    /// One more fault.
    pub fn push(
        &mut self,
        kind: Kind,
        path: impl Into<Cow<'static, str>>,
        why: impl Into<Cow<'static, str>>,
    ) {
        self.0.push((kind, Field { path: path.into(), message: why.into() }));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them as one refusal.
    pub fn into_problem(self) -> Problem {
        let Some((kind, first)) = self.0.iter().min_by_key(|(kind, _)| *kind) else {
            return Kind::Internal.into();
        };
        let message = match self.0.len() {
            1 => format!("{}: {}", first.path, first.message),
            n => {
                format!("{}: {} (the first of {n} faults; detail.fields has all)", first.path, first.message)
            }
        };
        let mut problem = Problem::new(*kind, message);
        problem.detail.fields = self.0.into_iter().map(|(_, field)| field).collect();
        problem
    }
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Problem {
        Problem { kind, message: None, detail: Detail::default(), headers: Vec::new() }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match &error {
            StoreError::Busy => Kind::Busy.into(),
            StoreError::Unavailable(_) => {
                tracing::warn!("answering 503: {error}");
                Kind::StoreUnavailable.into()
            }
            StoreError::Corrupt(_) => {
                tracing::error!("answering 500: {error}");
                Kind::Internal.into()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let Problem { kind, message, detail, headers } = self;
        let (status, code, sentence) = kind.row();
        let message = message.as_deref().unwrap_or(sentence);
        let body = envelope::write(&Refusal { success: false, status, code, message, data: (), detail });
        let mut response = envelope::respond(status, body);
        response.headers_mut().extend(kind.header().into_iter().chain(headers));
        response.extensions_mut().insert(kind);
        response
    }
}

/// Answers requests for what there is not.
pub(crate) async fn no_such_path() -> Problem {
    Kind::NoSuchPath.into()
}

/// Answers requests with a method that their path does not take; the router adds the `Allow` header.
pub(crate) async fn method_not_allowed() -> Problem {
    Kind::MethodNotAllowed.into()
}

/// Answers requests whose handling ran into a defect.
pub(crate) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    // A panic's message is ours and carries no client's text; laws are stated in it.
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!("answering 500: {}", message.unwrap_or("a panic without a message"));
    Problem::from(Kind::Internal).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_defect_is_answered_in_the_envelope_and_tells_nothing() {
        let response = panicked(Box::new("law: the secret of the house"));

        assert_eq!(response.status(), 500);
        let body = axum::body::to_bytes(response.into_body(), 1_024).await.unwrap();
        assert_eq!(
            body,
            r#"{"success":false,"status":500,"code":0,"message":"internal error","data":null}"#.as_bytes()
        );
    }

    #[test]
    fn a_store_that_cannot_serve_says_when_to_come_again() {
        for (error, status, wait) in [
            (StoreError::Busy, 503, Some("1")),
            (StoreError::Unavailable("disk full".to_owned()), 503, Some("5")),
            (StoreError::Corrupt("a row".to_owned()), 500, None),
        ] {
            let response = Problem::from(error).into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap()), wait);
        }
    }

    #[test]
    fn many_faults_are_one_refusal_that_tells_them_in_the_order_of_the_request() {
        let mut faults = Faults::default();
        faults.push(Kind::Bad, "usage", "must be oneway or twoway");
        faults.push(Kind::InvalidNumber, "bparty_numbers[0]", "is none");
        faults.push(Kind::InvalidNumber, "bparty_numbers[1]", "is none");

        let problem = faults.into_problem();

        assert_eq!(problem.kind, Kind::InvalidNumber);
        let message = "bparty_numbers[0]: is none (the first of 3 faults; detail.fields has all)";
        assert_eq!(problem.message.as_deref(), Some(message));
        assert_eq!(problem.detail.fields[0].path, "usage");
    }
}
