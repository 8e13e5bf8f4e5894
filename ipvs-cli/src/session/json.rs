//! The JSON of subcommands: an object on each line, as in docs/schema/output-1.json.

use std::fmt::{self, Display};

use ipvs::desired::parts::{Fields, Inline, Scalar};

/// The version of the schema, the first field of every object.
pub(crate) const VERSION: u32 = 1;

/// An object on one line.
pub(crate) fn object(mut fields: Fields) -> impl Display {
    fields.insert(0, ("version", VERSION.into()));
    Object(Scalar::Table(fields))
}

struct Object(Scalar);

impl Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&Inline::Json.of(&self.0), f)
    }
}
