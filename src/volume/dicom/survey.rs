//! A series before its pixels are decoded: which files are its slices, and which volumes they make.

use super::acquisitions::{Acquisition, Part, split};
use super::copies;
use super::error::DicomError;
use super::image::{Header, NoImage};
use super::marks::{MARKS, Meaning};
use super::read::Source;
use super::series::Group;
use super::stack::{SAME_PLACE, Slice};
use crate::volume::VolumeError;

/// More acquisitions are counted, not listed.
const LISTED: usize = 12;

/// What is known of a series.
pub(super) struct Survey {
    pub uid: String,
    pub modality: String,
    pub headers: Vec<(usize, Header)>,
    pub parts: Vec<Part>,
    pub acquisitions: Vec<Acquisition>,
    pub warnings: Vec<String>,
}

impl Survey {
    /// `broken` are files of which the series is not known.
    ///
    /// # Errors
    /// Slices that make no volume, or a bad file without which it may not be whole.
    pub fn of(source: &dyn Source, group: Group, broken: &[(usize, DicomError)]) -> Result<Self, VolumeError> {
        let Group { key, images: mut headers, others } = group;
        let mut warnings = Vec::new();
        let (aside, bad): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|(_, e)| matches!(e.error, DicomError::NotImage { .. }));
        if headers.is_empty() {
            let first = bad.into_iter().chain(aside).next();
            let (file, error) = first.map_or((0, DicomError::pixels("there are none")), |(file, e)| (file, e.error));
            return Err(error.of(&source.name(file)).into());
        }
        let aside: Vec<String> = aside.iter().map(|(file, e)| named(source, *file, &e.error)).collect();
        left_out(&aside, "no image of a scan", &mut warnings);
        let copies = copies::take_out(source, &mut headers)?;
        if let Some((copy, first)) = copies.first() {
            let more = if copies.len() > 1 { format!(" and {} more", copies.len() - 1) } else { String::new() };
            let (copy, first) = (source.name(*copy), source.name(*first));
            warnings.push(format!("left out as exact copies: {copy} (of {first}){more}"));
        }
        let parts: Vec<Part> = headers.iter().flat_map(|(file, header)| slices(source, *file, header)).collect();
        let unknown: Vec<(usize, &DicomError)> = {
            let of_series = bad.iter().filter(|(_, e)| e.header.is_none()).map(|(file, e)| (*file, &e.error));
            of_series.chain(broken.iter().map(|(file, e)| (*file, e))).collect()
        };
        let first_bad = bad.first().map(|(file, e)| (*file, &e.error)).or(unknown.first().copied());
        let found = split(&parts, &key.modality).map_err(|error| match first_bad {
            Some((file, why)) => incomplete(source, file, why, &error.to_string()),
            None => error,
        })?;
        for (file, NoImage { error, header }) in &bad {
            if let Some(header) = header
                && !header.frames.iter().all(|f| parts.iter().any(|p| stands_for(p, header, f)))
            {
                return Err(incomplete(source, *file, error, "it is a slice of this scan").into());
            }
        }
        // Fewer than the gaps between the others: no even pattern of gaps can have come of them.
        let fewest = found.acquisitions.iter().map(|a| a.members.len()).min().unwrap_or(0);
        if let Some((file, error)) = unknown.first().filter(|_| unknown.len() + 1 >= fewest) {
            let why = format!("with {} such file(s), slices may be missing", unknown.len());
            return Err(incomplete(source, *file, error, &why).into());
        }
        let names: Vec<String> = bad.iter().map(|(file, e)| named(source, *file, &e.error)).collect();
        let ends = unknown.iter().map(|(file, e)| format!("{} ({e})", source.name(*file)));
        let mut names: Vec<String> = names.into_iter().chain(ends).collect();
        names.dedup();
        left_out(&names, "damaged; the slices that remain lie evenly", &mut warnings);
        warnings.extend(found.warnings);
        Ok(Self { uid: key.uid, modality: key.modality, headers, parts, acquisitions: found.acquisitions, warnings })
    }

    /// The acquisitions asked for by their numbers, counted from 1; without a wish, the only one.
    ///
    /// # Errors
    /// Several and no wish, or a number that is not there.
    pub fn choose(&self, wanted: &[usize]) -> Result<Vec<&Acquisition>, DicomError> {
        let count = self.acquisitions.len();
        let series = if self.uid.is_empty() { "the series".into() } else { format!("series {}", self.uid) };
        let failed = |problem| Err(DicomError::Acquisitions { problem, list: self.list() });
        if wanted.is_empty() {
            return match &self.acquisitions[..] {
                [only] => Ok(vec![only]),
                _ => failed(format!(
                    "{series} holds {count} acquisitions where one is needed; give the files of one alone or choose one by \
                     its number"
                )),
            };
        }
        let mut chosen = Vec::new();
        for &number in wanted {
            match number.checked_sub(1).and_then(|at| self.acquisitions.get(at)) {
                Some(acquisition) => chosen.push(acquisition),
                None => return failed(format!("{series} holds {count} acquisition(s) and no number {number}")),
            }
        }
        Ok(chosen)
    }

    fn list(&self) -> String {
        let one = |(at, a): (usize, &Acquisition)| {
            let name = if a.name.is_empty() { String::new() } else { format!(", {}", a.name) };
            format!("{}: {} image(s){name}", at + 1, a.members.len())
        };
        let mut all: Vec<String> = self.acquisitions.iter().enumerate().take(LISTED).map(one).collect();
        if self.acquisitions.len() > LISTED {
            all.push(format!("and so on, {} in all", self.acquisitions.len()));
        }
        all.join("; ")
    }
}

/// The slices of a file.
fn slices(source: &dyn Source, file: usize, header: &Header) -> Vec<Part> {
    let name = source.name(file);
    let several = header.frames.len() > 1;
    let part = |(frame, f): (usize, &super::frames::Frame)| {
        let name = if several { format!("{name} frame {}", frame + 1) } else { name.clone() };
        Part {
            file,
            frame,
            instance: header.instance.clone(),
            size: header.size(),
            slice: Slice { plane: f.plane, name, thickness: f.thickness },
            marks: f.marks.clone(),
        }
    };
    header.frames.iter().enumerate().map(part).collect()
}

/// True if a sound slice lies where a bad one would, with the same settings.
fn stands_for(part: &Part, header: &Header, frame: &super::frames::Frame) -> bool {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() < SAME_PLACE;
    let mut marks = MARKS.iter().zip(&part.marks).zip(&frame.marks);
    part.size == header.size()
        && part.slice.plane.origin.iter().zip(&frame.plane.origin).all(near)
        && marks.all(|((mark, a), b)| mark.meaning != Meaning::Setting || a == b)
}

fn incomplete(source: &dyn Source, file: usize, error: &DicomError, why: &str) -> DicomError {
    let problem = format!("{}: {error}; it cannot be left out: {why}", source.name(file));
    DicomError::Slices { problem }
}

fn named(source: &dyn Source, file: usize, error: &DicomError) -> String {
    match error {
        DicomError::NotImage { what } => format!("{} ({what})", source.name(file)),
        error => format!("{} ({error})", source.name(file)),
    }
}

/// A line that names the first file and counts the others.
pub(super) fn left_out(names: &[String], why: &str, warnings: &mut Vec<String>) {
    if let Some(first) = names.first() {
        let more = if names.len() > 1 { format!(" and {} more file(s)", names.len() - 1) } else { String::new() };
        warnings.push(format!("left out as {why}: {first}{more}"));
    }
}
