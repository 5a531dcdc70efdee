use std::fmt;

/// The extents of a contiguous tensor, outermost axis first; the last axis is contiguous in memory.
///
/// Volumes are `(N, C, X, Y, Z)`, tokens `(N, L, E)`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// A shape from its extents.
    pub fn new(extents: &[usize]) -> Self {
        Self(extents.to_vec())
    }

    /// The extents, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The number of elements, saturating: a shape too large to count is also too large to allocate.
    pub fn elements(&self) -> usize {
        self.0.iter().fold(1, |n, &d| n.saturating_mul(d))
    }

    /// The extent of the last axis, 1 for a scalar.
    pub fn last(&self) -> usize {
        self.0.last().copied().unwrap_or(1)
    }

    /// The product of all axes but the last.
    pub fn rows(&self) -> usize {
        let n = self.0.len().saturating_sub(1);
        self.0[..n].iter().fold(1, |n, &d| n.saturating_mul(d))
    }

    /// `(N, C, [X, Y, Z])` of a volume; `None` unless it has five axes.
    pub fn volume(&self) -> Option<(usize, usize, [usize; 3])> {
        match self.0[..] {
            [n, c, x, y, z] => Some((n, c, [x, y, z])),
            _ => None,
        }
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(extents: [usize; N]) -> Self {
        Self(extents.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{d}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
