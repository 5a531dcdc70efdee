//! Which affine a header means.
//!
//! sform: the stored rows. qform: `R(b, c, d) * diag(pixdim) `, third column times qfac, plus offset.
//! Neither: nibabel's base affine from `pixdim`, x to the left, the centre at the origin.
//!
//! Lengths are in the unit that `xyzt_units` names, metres, millimetres or micrometres; what comes out is in millimetres.

use super::header::{Header, Version};
use super::read::ReadOptions;
use crate::volume::affine::closest_rotation;
use crate::volume::{Affine, Orientation, VolumeError};

/// Which of a header's affines to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// sform if coded, else qform if coded, else `pixdim`; refused if the two name other sides.
    #[default]
    Auto,
    /// The sform, whatever the qform says.
    Sform,
    /// The qform, whatever the sform says.
    Qform,
    /// Voxel sizes only, as if neither were coded.
    Pixdim,
}

/// Which affine was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AffineFrom {
    Sform,
    Qform,
    Pixdim,
}

impl AffineFrom {
    /// Its name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sform => "sform",
            Self::Qform => "qform",
            Self::Pixdim => "pixdim",
        }
    }
}

/// The two forms may differ by this much before a warning, in mm at a corner.
const FORMS_AGREE_MM: f64 = 0.01;
/// Axes further apart than 45 degrees point in different directions.
const COS_45: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// The affine of a header, with what is doubtful about it as warnings.
pub(super) fn affine(
    header: &Header,
    options: &ReadOptions,
    warnings: &mut Vec<String>,
) -> Result<(Affine, AffineFrom), VolumeError> {
    let unit = LengthUnit::of(header, warnings);
    let header = &unit.in_mm(header);
    unit.check_plausible(header, warnings);
    match options.form {
        Form::Auto => automatic(header, options, warnings),
        Form::Sform => {
            warnings.push("the sform is used because the caller asked for it".into());
            Ok((sform(header)?, AffineFrom::Sform))
        }
        Form::Qform => {
            warnings.push("the qform is used because the caller asked for it".into());
            Ok((qform(header, warnings)?, AffineFrom::Qform))
        }
        Form::Pixdim => {
            warnings.push("sform and qform are ignored because the caller asked for it".into());
            Ok((base(header, warnings)?, AffineFrom::Pixdim))
        }
    }
}

/// The unit of lengths in a header.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LengthUnit {
    name: &'static str,
    /// Millimetres in it, as numerator and denominator: one of them is 1, so that nothing is rounded twice.
    mm: [f64; 2],
}

impl LengthUnit {
    const MILLIMETRE: Self = Self { name: "mm", mm: [1.0, 1.0] };

    /// What `xyzt_units` says; mm where it says nothing.
    fn of(header: &Header, warnings: &mut Vec<String>) -> Self {
        match header.xyzt_units & 7 {
            0 | 2 => Self::MILLIMETRE,
            1 => Self { name: "metres", mm: [1e3, 1.0] },
            3 => Self { name: "micrometres", mm: [1.0, 1e3] },
            code => {
                warnings.push(format!("xyzt_units has the code {code} for lengths, which is not defined: mm is taken"));
                Self::MILLIMETRE
            }
        }
    }

    /// The header with all lengths in mm.
    fn in_mm(self, header: &Header) -> Header {
        let [times, by] = self.mm;
        scaled(header, times, by)
    }

    /// The header, whose lengths are in mm, with lengths in this unit.
    fn of_mm(self, header: &Header) -> Header {
        let [by, times] = self.mm;
        scaled(header, times, by)
    }

    /// A scan whose voxels are larger than a hand or smaller than a cell's parts has a wrong unit rather than such voxels.
    fn check_plausible(self, in_mm: &Header, warnings: &mut Vec<String>) {
        let sizes = &in_mm.pixdim[1..=in_mm.dimensions().min(3)];
        if self != Self::MILLIMETRE && sizes.iter().any(|v| v.is_finite() && *v > 0.0 && !(1e-5..=100.0).contains(v)) {
            warnings.push(format!(
                "xyzt_units says {}, which makes voxels of {sizes:?} mm: set it to 2 if the lengths are in mm",
                self.name
            ));
        }
    }
}

/// The header with all lengths times one number and divided by another.
fn scaled(header: &Header, times: f64, by: f64) -> Header {
    let mut header = header.clone();
    let single = header.version == Version::One;
    let scale = |v: &mut f64| {
        let value = *v * times / by;
        // In the precision of the file: 0.001 m is 1 mm and not 1.000000047.
        *v = if single && times != by { f64::from(value as f32) } else { value };
    };
    header.pixdim[1..4].iter_mut().for_each(scale);
    header.qoffset.iter_mut().for_each(scale);
    header.srow.iter_mut().flatten().for_each(scale);
    header
}

fn automatic(
    header: &Header,
    options: &ReadOptions,
    warnings: &mut Vec<String>,
) -> Result<(Affine, AffineFrom), VolumeError> {
    let s_coded = coded("sform_code", header.sform_code, warnings);
    let q_coded = coded("qform_code", header.qform_code, warnings);
    if !s_coded {
        if q_coded {
            return Ok((qform(header, warnings)?, AffineFrom::Qform));
        }
        if options.require_orientation {
            return Err(VolumeError::SidesUnknown);
        }
        warnings.push(
            "sform_code and qform_code are both 0: the file does not say which side is left; \
             x is assumed to run from right to left, as nibabel does"
                .into(),
        );
        return Ok((base(header, warnings)?, AffineFrom::Pixdim));
    }
    let sform = match sform(header) {
        Err(error) if q_coded => {
            // One that cannot be used says nothing, where the other says all.
            let qform = qform(header, warnings).map_err(|_| error)?;
            warnings.push("the sform is singular and the qform is sound: the qform is used".into());
            return Ok((qform, AffineFrom::Qform));
        }
        sform => sform?,
    };
    if !q_coded {
        warn_of_spacing(header, &sform, warnings);
        return Ok((sform, AffineFrom::Sform));
    }
    let mut repairs = Vec::new();
    let qform = match qform(header, &mut repairs) {
        Ok(qform) => qform,
        Err(error) => {
            warnings.push(format!("the qform is ignored: {error}"));
            return Ok((sform, AffineFrom::Sform));
        }
    };
    warnings.append(&mut repairs);
    if sides_differ(&sform, &qform) {
        return Err(VolumeError::SidesDisagree { sform: side(&sform), qform: side(&qform) });
    }
    // MONAI replaces an sform whose spacing is not pixdim by a qform whose spacing is.
    let flat = header.dimensions() <= 3;
    if flat && !spacing_agrees(header, &sform) && spacing_agrees(header, &qform) {
        warnings.push("the sform's voxel sizes differ from pixdim, the qform's do not: the qform is used".into());
        return Ok((qform, AffineFrom::Qform));
    }
    warn_of_spacing(header, &sform, warnings);
    let (dims, _) = header.shape()?;
    let apart = sform.max_displacement(&qform, dims);
    if apart > FORMS_AGREE_MM {
        warnings.push(format!("sform and qform place voxels up to {apart:.2} mm apart; the sform is used"));
    }
    Ok((sform, AffineFrom::Sform))
}

/// Codes that NIfTI does not define count as 0, as in nibabel.
fn coded(field: &str, code: i32, warnings: &mut Vec<String>) -> bool {
    if !(0..=5).contains(&code) {
        warnings.push(format!("{field} {code} is not defined and counts as 0"));
        return false;
    }
    code != 0
}

fn side(affine: &Affine) -> String {
    let hand = if affine.determinant() > 0.0 { "right-handed" } else { "left-handed" };
    format!("{} ({hand})", affine.axis_codes())
}

/// True if the two disagree on handedness, or an axis points in another direction.
fn sides_differ(a: &Affine, b: &Affine) -> bool {
    if (a.determinant() > 0.0) != (b.determinant() > 0.0) {
        return true;
    }
    if Orientation::of(a) == Orientation::of(b) {
        return false;
    }
    // Codes may differ by a small turn near 45 degrees; that is no other side.
    let (m, n, s, t) = (a.linear(), b.linear(), a.spacing(), b.spacing());
    (0..3).any(|c| (0..3).map(|r| m[r][c] * n[r][c]).sum::<f64>() / (s[c] * t[c]) < COS_45)
}

fn spacing_agrees(header: &Header, affine: &Affine) -> bool {
    let d = header.dimensions().min(3);
    (0..d).all(|c| {
        let norm = (0..d).map(|r| affine.0[r][c].powi(2)).sum::<f64>().sqrt();
        (header.pixdim[c + 1] - norm).abs() <= 1e-8 + 1e-5 * norm
    })
}

fn warn_of_spacing(header: &Header, affine: &Affine, warnings: &mut Vec<String>) {
    let d = header.dimensions().min(3);
    let (spacing, pixdim) = (&affine.spacing()[..d], &header.pixdim[1..=d]);
    let agree = spacing.iter().zip(pixdim).all(|(s, p)| (s - p).abs() <= 1e-3 * s);
    if !agree {
        warnings.push(format!("pixdim says {pixdim:?} mm, the affine {spacing:?} mm; the affine is used"));
    }
}

fn sform(header: &Header) -> Result<Affine, VolumeError> {
    let affine = Affine::from_rows(header.srow);
    affine.check("the sform")?;
    Ok(affine)
}

fn qform(header: &Header, warnings: &mut Vec<String>) -> Result<Affine, VolumeError> {
    let rotation = rotation(header)?;
    let spacing = spacing(header, warnings)?;
    let qfac = header.pixdim[0];
    let sign = match qfac {
        1.0 => 1.0,
        -1.0 => -1.0,
        // 0 is what the standard reads as 1; other values above 0 are read as 1 everywhere.
        q if q >= 0.0 && q.is_finite() => {
            warnings.push(format!("pixdim[0] (qfac) is {q} and counts as 1"));
            1.0
        }
        q => {
            let problem = "1 or -1 is needed: the side of the scan depends on it";
            return Err(VolumeError::header("pixdim[0] (qfac)", q, problem));
        }
    };
    let scale = [spacing[0], spacing[1], spacing[2] * sign];
    let m = std::array::from_fn(|r| std::array::from_fn(|c| rotation[r][c] * scale[c]));
    let affine = Affine::from_parts(m, header.qoffset);
    affine.check("the qform")?;
    Ok(affine)
}

fn rotation(header: &Header) -> Result<[[f64; 3]; 3], VolumeError> {
    let [b, c, d] = header.quatern;
    let squared = 1.0 - (b * b + c * c + d * d);
    // Rounding of the stored type may leave a rotation by 180 degrees a little outside.
    let near_zero = match header.version {
        Version::One => 3.0 * f64::from(f32::EPSILON),
        Version::Two => 3.0 * f64::EPSILON,
    };
    let a = if squared.abs() < near_zero {
        0.0
    } else if squared > 0.0 {
        squared.sqrt()
    } else {
        let problem = "b, c, d of a unit quaternion are needed";
        return Err(VolumeError::header("quatern", format!("{b}, {c}, {d}"), problem));
    };
    let s = 2.0 / (a * a + b * b + c * c + d * d);
    Ok([
        [1.0 - s * (c * c + d * d), s * (b * c - a * d), s * (b * d + a * c)],
        [s * (b * c + a * d), 1.0 - s * (b * b + d * d), s * (c * d - a * b)],
        [s * (b * d - a * c), s * (c * d + a * b), 1.0 - s * (b * b + c * c)],
    ])
}

/// `pixdim[1..4]` where it decides the geometry: above 0, or unset on an axis of one voxel.
fn spacing(header: &Header, warnings: &mut Vec<String>) -> Result<[f64; 3], VolumeError> {
    const NAMES: [&str; 3] = ["pixdim[1]", "pixdim[2]", "pixdim[3]"];
    let (dims, _) = header.shape()?;
    let mut spacing = [1.0; 3];
    for a in 0..3 {
        let value = header.pixdim[a + 1];
        if value.is_finite() && value > 0.0 {
            spacing[a] = value;
        } else if dims[a] > 1 {
            let problem = "a positive number of mm is needed";
            return Err(VolumeError::header(NAMES[a], value, problem));
        } else {
            warnings.push(format!("{} is {value} and counts as 1", NAMES[a]));
        }
    }
    Ok(spacing)
}

/// nibabel's affine for a file without codes, in mm.
pub(super) fn base_in_mm(header: &Header) -> Result<Affine, VolumeError> {
    base(&LengthUnit::of(header, &mut Vec::new()).in_mm(header), &mut Vec::new())
}

/// nibabel's affine for a file without codes.
fn base(header: &Header, warnings: &mut Vec<String>) -> Result<Affine, VolumeError> {
    let spacing = spacing(header, warnings)?;
    let (dims, _) = header.shape()?;
    let step = [-spacing[0], spacing[1], spacing[2]];
    let m = std::array::from_fn(|r| std::array::from_fn(|c| if r == c { step[r] } else { 0.0 }));
    let origin = std::array::from_fn(|a| -step[a] * (dims[a] as f64 - 1.0) / 2.0);
    let affine = Affine::from_parts(m, origin);
    affine.check("pixdim")?;
    Ok(affine)
}

/// Sets sform, qform and pixdim to `affine`; returns false if the qform cannot hold it (shear).
pub(super) fn store(header: &mut Header, affine: &Affine, dims: [usize; 3]) -> bool {
    header.srow = [affine.0[0], affine.0[1], affine.0[2]];
    let spacing = affine.spacing();
    let qfac = if affine.determinant() < 0.0 { -1.0 } else { 1.0 };
    header.pixdim = [qfac, spacing[0], spacing[1], spacing[2], 1.0, 1.0, 1.0, 1.0];
    let scale = [spacing[0], spacing[1], spacing[2] * qfac];
    let m = affine.linear();
    let directions: [[f64; 3]; 3] = std::array::from_fn(|r| std::array::from_fn(|c| m[r][c] / scale[c]));
    header.quatern = quaternion(&closest_rotation(&directions));
    header.qoffset = affine.origin();
    let unit = LengthUnit::of(header, &mut Vec::new());
    *header = unit.of_mm(header);
    if header.version == Version::One {
        // What the file can hold: near 180 degrees the rounding is felt.
        let stored = header.quatern.iter_mut().chain(&mut header.qoffset).chain(&mut header.pixdim);
        stored.for_each(|v| *v = f64::from(*v as f32));
    }
    match qform(&unit.in_mm(header), &mut Vec::new()) {
        Ok(read_back) => read_back.max_displacement(affine, dims) <= FORMS_AGREE_MM,
        Err(_) => false,
    }
}

/// b, c, d of the unit quaternion with a >= 0, by the largest of the four components.
fn quaternion(r: &[[f64; 3]; 3]) -> [f64; 3] {
    let trace = r[0][0] + r[1][1] + r[2][2];
    let squares = [1.0 + trace, 1.0 + 2.0 * r[0][0] - trace, 1.0 + 2.0 * r[1][1] - trace, 1.0 + 2.0 * r[2][2] - trace];
    let largest = (0..4).fold(0, |m, n| if squares[n] > squares[m] { n } else { m });
    let t = 2.0 * squares[largest].max(0.0).sqrt();
    let (x, y, z) = (r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]);
    let (xy, xz, yz) = (r[0][1] + r[1][0], r[0][2] + r[2][0], r[1][2] + r[2][1]);
    let q = match largest {
        0 => [t / 4.0, x / t, y / t, z / t],
        1 => [x / t, t / 4.0, xy / t, xz / t],
        2 => [y / t, xy / t, t / 4.0, yz / t],
        _ => [z / t, xz / t, yz / t, t / 4.0],
    };
    let sign = if q[0] < 0.0 { -1.0 } else { 1.0 };
    [q[1] * sign, q[2] * sign, q[3] * sign]
}
