//! What a client may wish of the virtual number; sent when an allocation is made and when its number is changed.

use callveil_domain::allocation::create::Preferences;
use callveil_domain::tenant::Tenant;
use callveil_domain::virtual_number::{NumberType, Region};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::lenient::{self, Nested, Sent};
use crate::problem::{Faults, Kind};

/// Wishes. With `strictness` all must hold; without, as many as can.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Preferences)]
pub(crate) struct Wishes<'a> {
    /// This very virtual number.
    #[serde(borrow)]
    #[schema(value_type = Option<super::NumberSent>)]
    greenvn: Sent<'a>,
    /// A number of this region. Which regions there are is the setting `regions`.
    #[schema(value_type = Option<String>, example = "KA")]
    region: Sent<'a>,
    /// A number of the region of this Indian postal code; `region` goes before it.
    #[schema(value_type = Option<String>, example = "560041")]
    pin_code: Sent<'a>,
    /// A number of this type.
    #[schema(value_type = Option<WireNumberType>)]
    r#type: Sent<'a>,
    /// The same as `type`.
    #[schema(value_type = Option<WireNumberType>)]
    number_type: Sent<'a>,
}

/// The type of a virtual number.
#[derive(ToSchema)]
#[schema(as = NumberType, rename_all = "lowercase")]
#[expect(dead_code, reason = "documents what lenient::number_type reads")]
pub(crate) enum WireNumberType {
    /// A mobile number.
    Mobile,
    /// A fixed line.
    Landline,
}

/// Reads wishes and how strictly they are meant.
pub(crate) fn read(
    tenant: &Tenant,
    sent: &Option<Nested<Wishes<'_>>>,
    strictness: &Sent<'_>,
    faults: &mut Faults,
) -> Preferences {
    let strict = faults.optional("strictness", strictness, &lenient::boolean).unwrap_or(false);
    let Some(wishes) = faults.object("preferences", sent) else {
        return Preferences { strict, ..Preferences::default() };
    };
    let Wishes { greenvn, region, pin_code, r#type, number_type } = wishes;
    let home = tenant.settings.country;
    Preferences {
        number: faults.optional("preferences.greenvn", greenvn, &|value| lenient::number(value, home)),
        region: read_region(region, faults),
        postal_code: faults
            .optional("preferences.pin_code", pin_code, &|v| lenient::text(v).map(str::to_owned)),
        number_type: read_number_type(r#type, number_type, faults),
        strict,
    }
}

/// What cannot be a region's name is a region that nobody may ask for.
fn read_region(sent: &Sent<'_>, faults: &mut Faults) -> Option<Region> {
    const PATH: &str = "preferences.region";
    let text = faults.optional(PATH, sent, &|value| lenient::text(value).map(str::to_owned))?;
    let region = Region::parse(&text);
    region.map_err(|why| faults.push(Kind::UnknownRegion, PATH, why.0)).ok()
}

fn read_number_type(first: &Sent<'_>, second: &Sent<'_>, faults: &mut Faults) -> Option<NumberType> {
    let first = faults.optional("preferences.type", first, &lenient::number_type);
    let second = faults.optional("preferences.number_type", second, &lenient::number_type);
    if let (Some(first), Some(second)) = (first, second)
        && first != second
    {
        faults.push(Kind::Bad, "preferences.number_type", "says something else than preferences.type");
    }
    first.or(second)
}
