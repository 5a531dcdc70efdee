//! A cube of eight voxels: which of its edges the surface crosses, and which crossings are of one sheet.
//!
//! Corner `x y z` is bit `4 x + 2 y + z`. Edge `4 a + 2 p + q` runs along axis `a`, at `p` along the axis after it and at `q`
//! along the one after that.

/// The crossings of a cube, each with its sheet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sheets {
    /// For each edge; [`NONE`] where the surface does not cross it.
    of: [u8; 12],
    count: u8,
}

const NONE: u8 = u8::MAX;

pub(super) fn edge_of(axis: usize, p: usize, q: usize) -> usize {
    4 * axis + 2 * p + q
}

/// The two corners of an edge.
fn ends(edge: usize) -> [usize; 2] {
    let (axis, p, q) = (edge / 4, edge / 2 % 2, edge % 2);
    let mut corner = [0; 3];
    corner[(axis + 1) % 3] = p;
    corner[(axis + 2) % 3] = q;
    let bit = |c: [usize; 3]| 4 * c[0] + 2 * c[1] + c[2];
    let first = bit(corner);
    corner[axis] = 1;
    [first, bit(corner)]
}

fn crossed(bits: u8, edge: usize) -> bool {
    let [a, b] = ends(edge);
    (bits >> a ^ bits >> b) & 1 == 1
}

/// The edges of the face at `side` of an axis.
fn face(axis: usize, side: usize) -> [usize; 4] {
    let (b, c) = ((axis + 1) % 3, (axis + 2) % 3);
    // Along b lies c first of the axes after it; along c lies the axis itself.
    [edge_of(b, 0, side), edge_of(b, 1, side), edge_of(c, side, 0), edge_of(c, side, 1)]
}

/// Pairs of crossings on a face that a sheet joins. Where all four edges are crossed, those around each corner that has the
/// label; `turned`, those around each that has not.
fn joins(bits: u8, edges: [usize; 4], turned: bool) -> Vec<[usize; 2]> {
    let found: Vec<usize> = edges.into_iter().filter(|edge| crossed(bits, *edge)).collect();
    match found[..] {
        [a, b] => vec![[a, b]],
        [a, b, c, d] => {
            let at = |edge: usize| ends(edge).into_iter().find(|corner| (bits >> corner & 1 == 1) != turned);
            // Edges a and b run along one axis, c and d along the other.
            let partner = if at(a) == at(c) { [[a, c], [b, d]] } else { [[a, d], [b, c]] };
            partner.to_vec()
        }
        _ => Vec::new(),
    }
}

impl Sheets {
    /// `turned` says for the face at a side of an axis whether it joins its crossings the other way.
    pub fn new(bits: u8, turned: impl Fn(usize, usize) -> bool) -> Self {
        let mut of: [u8; 12] = std::array::from_fn(|edge| if crossed(bits, edge) { edge as u8 } else { NONE });
        for (axis, side) in (0..3).flat_map(|axis| [(axis, 0), (axis, 1)]) {
            for [a, b] in joins(bits, face(axis, side), turned(axis, side)) {
                let (keep, drop) = (of[a].min(of[b]), of[a].max(of[b]));
                of.iter_mut().filter(|sheet| **sheet == drop).for_each(|sheet| *sheet = keep);
            }
        }
        let mut count = 0;
        for sheet in 0..12 {
            if of.contains(&sheet) {
                of.iter_mut().filter(|other| **other == sheet).for_each(|other| *other = count);
                count += 1;
            }
        }
        Self { of, count }
    }

    /// The sheet that crosses an edge.
    pub fn of_edge(&self, edge: usize) -> u8 {
        self.of[edge]
    }

    /// For each sheet the mean of its crossings, in the middle of their edges.
    pub fn points(&self) -> Vec<[f64; 3]> {
        let middle = |edge: usize| {
            let corner = |bit: usize| [bit >> 2 & 1, bit >> 1 & 1, bit & 1].map(|v| v as f64);
            let [a, b] = ends(edge).map(corner);
            std::array::from_fn::<f64, 3, _>(|r| (a[r] + b[r]) / 2.0)
        };
        (0..self.count)
            .map(|sheet| {
                let all: Vec<[f64; 3]> = (0..12).filter(|e| self.of[*e] == sheet).map(middle).collect();
                std::array::from_fn(|r| all.iter().map(|p| p[r]).sum::<f64>() / all.len().max(1) as f64)
            })
            .collect()
    }
}

/// Whether both pairs of crossings of a face with four are of one sheet of this cube: where that is so in both cubes at the
/// face, four quadrilaterals would meet in one edge.
pub(super) fn pinched(bits: u8, axis: usize, side: usize) -> bool {
    let pairs = joins(bits, face(axis, side), false);
    let [[a, _], [b, _]] = pairs[..] else { return false };
    let sheets = Sheets::new(bits, |_, _| false);
    sheets.of[a] == sheets.of[b]
}
