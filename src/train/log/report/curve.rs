//! Curves of any length as few points: smoothed, and thinned so that no peak is lost.

/// Values beyond it are treated as infinite: no training has them, and they would overflow an axis.
const HUGE: f64 = 1e30;

/// A curve; values that are NaN or infinite interrupt it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Curve {
    /// Unbroken pieces of `[x, y]`, ascending.
    pub pieces: Vec<Vec<[f64; 2]>>,
    /// Where values were missing.
    pub missing: Vec<f64>,
}

impl Curve {
    /// At most about `2 columns` points: of each of `columns` equal spans of x the least and the greatest value, in the
    /// order in which they occur.
    pub fn new(points: &[[f64; 2]], columns: usize) -> Self {
        let shown = |p: &[f64; 2]| p[0].is_finite() && p[1].abs() <= HUGE;
        let mut curve =
            Self { missing: points.iter().filter(|p| !shown(p)).map(|p| p[0]).collect(), ..Self::default() };
        let Some(([low, _], [high, _])) = points.first().zip(points.last()) else {
            return curve;
        };
        let column = |x: f64| ((x - low) / (high - low).max(f64::MIN_POSITIVE) * columns as f64) as usize;
        let thinned: Vec<[f64; 2]> = match points.len() <= 2 * columns {
            true => points.to_vec(),
            false => points.chunk_by(|a, b| column(a[0]) == column(b[0])).flat_map(|c| extremes(c, shown)).collect(),
        };
        curve.pieces = thinned.split(|p| !shown(p)).filter(|p| !p.is_empty()).map(<[_]>::to_vec).collect();
        // A curve ends where its values do.
        let known = || points.iter().filter(|p| shown(p));
        if let (Some(piece), Some(first)) = (curve.pieces.first_mut(), known().next())
            && piece.first() != Some(first)
        {
            piece.insert(0, *first);
        }
        if let (Some(piece), Some(last)) = (curve.pieces.last_mut(), known().next_back())
            && piece.last() != Some(last)
        {
            piece.push(*last);
        }
        curve
    }

    pub fn points(&self) -> impl Iterator<Item = &[f64; 2]> {
        self.pieces.iter().flatten()
    }

    /// Least and greatest value.
    pub fn range(&self) -> Option<[f64; 2]> {
        self.points().map(|p| [p[1]; 2]).reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])])
    }
}

/// The least and the greatest point, as they follow each other; a gap only where nothing is shown.
fn extremes(points: &[[f64; 2]], shown: impl Fn(&[f64; 2]) -> bool) -> Vec<[f64; 2]> {
    let all = || points.iter().enumerate().filter(|(_, p)| shown(p));
    let least = all().min_by(|a, b| a.1[1].total_cmp(&b.1[1]));
    let greatest = all().max_by(|a, b| a.1[1].total_cmp(&b.1[1]));
    let mut order: Vec<usize> = [least, greatest].into_iter().flatten().map(|(i, _)| i).collect();
    order.sort_unstable();
    order.dedup();
    if order.is_empty() {
        order.push(0);
    }
    order.into_iter().filter_map(|i| points.get(i).copied()).collect()
}

/// Exponential moving mean `m += (1 - a)(v - m)` with `a = 1 - 1 / span`, free of the pull of its start (divided by
/// `1 - aⁿ`, as TensorBoard does). Values that are not finite are passed over and stay gaps.
pub(super) fn smooth(points: &[[f64; 2]], span: usize) -> Vec<[f64; 2]> {
    let keep = 1.0 - 1.0 / span.max(1) as f64;
    let (mut mean, mut weight) = (0.0, 0.0);
    points
        .iter()
        .map(|&[x, y]| {
            if y.abs() <= HUGE {
                mean = keep * mean + (1.0 - keep) * y;
                weight = keep * weight + (1.0 - keep);
                [x, mean / weight]
            } else {
                [x, f64::NAN]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_keep_their_peaks_and_ends() {
        let mut points: Vec<[f64; 2]> = (0..1_000_000).map(|i| [f64::from(i), (f64::from(i) * 0.37).sin()]).collect();
        points[567_890][1] = 50.0;
        points[123_456][1] = -40.0;
        let curve = Curve::new(&points, 480);
        assert!((900..=962).contains(&curve.points().count()), "{}", curve.points().count());
        assert_eq!(curve.range(), Some([-40.0, 50.0]));
        assert!(curve.pieces[0].windows(2).all(|w| w[0][0] < w[1][0]));
        assert_eq!((curve.pieces[0].first(), curve.pieces[0].last()), (points.first(), points.last()));
        // Every value of a short curve is drawn.
        assert_eq!(Curve::new(&points[..900], 480).points().count(), 900);
    }

    #[test]
    fn gaps_are_gaps() {
        let nan = f64::NAN;
        let y = [nan, 1.0, 2.0, nan, f64::INFINITY, 3.0, 1e300];
        let points: Vec<[f64; 2]> = y.iter().enumerate().map(|(i, y)| [i as f64, *y]).collect();
        let curve = Curve::new(&points, 480);
        assert_eq!(curve.pieces, [vec![[1.0, 1.0], [2.0, 2.0]], vec![[5.0, 3.0]]]);
        assert_eq!(curve.missing, [0.0, 3.0, 4.0, 6.0]);
        assert_eq!(Curve::new(&[[1.0, nan]], 480).range(), None);
        assert_eq!(Curve::new(&[], 480), Curve::default());
        // Gaps narrower than a column do not make a long curve longer.
        let torn: Vec<[f64; 2]> = (0..100_000).map(|i| [f64::from(i), if i % 2 == 0 { nan } else { 1.0 }]).collect();
        let curve = Curve::new(&torn, 480);
        assert_eq!((curve.pieces.len(), curve.missing.len()), (1, 50_000));
        assert!(curve.points().count() <= 2 * 480 + 2);
        let broken: Vec<[f64; 2]> = (0..9000).map(|i| [f64::from(i), if i / 3000 == 1 { nan } else { 1.0 }]).collect();
        assert_eq!(Curve::new(&broken, 480).pieces.len(), 2);
    }

    #[test]
    fn smoothing_starts_where_the_values_do() {
        let points: Vec<[f64; 2]> =
            (0..2000).map(|i| [f64::from(i), 3.0 + if i % 2 == 0 { 0.5 } else { -0.5 }]).collect();
        let smoothed = smooth(&points, 100);
        assert_eq!(smoothed[0][1], 3.5);
        assert!((smoothed[1999][1] - 3.0).abs() < 0.01, "{}", smoothed[1999][1]);
        let gap = smooth(&[[0.0, 1.0], [1.0, f64::NAN], [2.0, 1.0]], 10);
        assert!(gap[1][1].is_nan() && (gap[2][1] - 1.0).abs() < 1e-12);
        assert_eq!(smooth(&points[..3], 1), &points[..3]);
    }
}
