//! What tells images of one series apart that are not slices of one volume: echoes, phases, b-values, reconstructions.

use super::scope::Scope;
use super::tags::{self, Attribute};

/// What a difference means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Another setting of the scanner, or another moment of the patient.
    Setting,
    /// A time of day, which may also differ between slices of one volume.
    Clock,
    /// A number that counts.
    Order,
}

#[derive(Debug)]
pub(super) struct Mark {
    pub attribute: Attribute,
    pub meaning: Meaning,
}

const fn setting(attribute: Attribute) -> Mark {
    Mark { attribute, meaning: Meaning::Setting }
}

const fn clock(attribute: Attribute) -> Mark {
    Mark { attribute, meaning: Meaning::Clock }
}

/// The attributes, those first that say most.
pub(super) const MARKS: [Mark; 34] = [
    setting(tags::ECHO_TIME),
    setting(tags::EFFECTIVE_ECHO_TIME),
    setting(tags::ECHO_NUMBERS),
    setting(tags::TEMPORAL_POSITION),
    setting(tags::TEMPORAL_INDEX),
    setting(tags::TEMPORAL_OFFSET),
    setting(tags::CARDIAC_PERCENTAGE),
    setting(tags::CARDIAC_DELAY),
    setting(tags::RESPIRATORY_PERCENTAGE),
    setting(tags::B_VALUE),
    setting(tags::SIEMENS_B_VALUE),
    setting(tags::GE_B_VALUE),
    setting(tags::PHILIPS_B_VALUE),
    setting(tags::GRADIENT_ORIENTATION),
    setting(tags::DIFFUSION_DIRECTIONALITY),
    setting(tags::IMAGE_TYPE),
    setting(tags::FRAME_TYPE),
    setting(tags::COMPLEX_COMPONENT),
    setting(tags::INVERSION_TIME),
    setting(tags::INVERSION_TIMES),
    setting(tags::FLIP_ANGLE),
    setting(tags::REPETITION_TIME),
    setting(tags::KVP),
    setting(tags::CONVOLUTION_KERNEL),
    setting(tags::CONTRAST_AGENT),
    setting(tags::SLICE_THICKNESS),
    setting(tags::STACK_ID),
    setting(tags::ACQUISITION_NUMBER),
    setting(tags::FRAME_ACQUISITION_NUMBER),
    setting(tags::TRIGGER_TIME),
    setting(tags::FRAME_REFERENCE_TIME),
    clock(tags::ACQUISITION_TIME),
    clock(tags::CONTENT_TIME),
    Mark { attribute: tags::INSTANCE_NUMBER, meaning: Meaning::Order },
];

/// Values of [`MARKS`], in that order.
pub(super) type Marks = Vec<Option<String>>;

/// What cannot be read tells nothing apart.
pub(super) fn marks(scope: &Scope<'_>) -> Marks {
    MARKS.iter().map(|mark| one(scope, &mark.attribute)).collect()
}

fn one(scope: &Scope<'_>, attribute: &Attribute) -> Option<String> {
    if *attribute == tags::ACQUISITION_TIME {
        return time_of_day(scope);
    }
    match attribute.vr {
        "TM" => scope.text(attribute).map(|t| plain_time(&t)),
        "CS" | "LO" | "SH" => scope.text(attribute),
        _ => {
            let all = scope.list(attribute).ok().flatten()?;
            // Six digits: the seventh differs by the rounding of single precision.
            let text = |v: &f64| format!("{v:.5e}").parse::<f64>().map_or_else(|_| v.to_string(), |v| v.to_string());
            Some(all.iter().map(text).collect::<Vec<_>>().join("\\"))
        }
    }
}

/// Acquisition Time, or that of the date and time that enhanced images have in its place. Dates are left where they are.
fn time_of_day(scope: &Scope<'_>) -> Option<String> {
    let of_day = |attribute| scope.text(attribute).and_then(|t| t.get(8..).map(plain_time)).filter(|t| !t.is_empty());
    of_day(&tags::FRAME_ACQUISITION_DATETIME)
        .or_else(|| scope.text(&tags::ACQUISITION_TIME).map(|t| plain_time(&t)))
        .or_else(|| of_day(&tags::ACQUISITION_DATETIME))
}

/// `120000.000000` and `120000` are one time.
fn plain_time(text: &str) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
}
