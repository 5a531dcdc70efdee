//! Which token lies where: a grid cut into windows, padded behind its end, moved around its corner.
//!
//! Windows are never larger than the grid; an axis that one window spans is not moved. Where tokens meet that were no
//! neighbours before the move, regions keep them apart. A pair's bias stands at its distance *within windows of full size*:
//! in smaller ones the reference takes the first rows and columns of the full window's index, and so it is here. Source: MONAI
//! `get_window_size`, `window_partition`, `compute_mask`, `WindowAttention.relative_position_index`.

use crate::gpu::Access;
use crate::graph::{Dispatch, Operand, groups, params};

params!(PlaceParams {
    grid_x: u32,
    grid_y: u32,
    grid_z: u32,
    window_x: u32,
    window_y: u32,
    window_z: u32,
    shift_x: u32,
    shift_y: u32,
    shift_z: u32,
    full_y: u32,
    full_z: u32,
});

/// Windows over a grid of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Tokens along X, Y, Z.
    pub grid: [usize; 3],
    /// Tokens of a full window.
    pub window: [usize; 3],
    /// Whether the grid is moved by half a window.
    pub shifted: bool,
}

/// A token of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernels) struct Place {
    /// Its number in the grid, or, from the grid's number of tokens on, that of a token of the padding.
    pub cell: usize,
    /// What differs where tokens do not see each other.
    pub region: usize,
}

fn volume(size: [usize; 3]) -> usize {
    size.iter().product()
}

/// Coordinates of a flat index.
fn at(i: usize, size: [usize; 3]) -> [usize; 3] {
    [i / size[2] / size[1], i / size[2] % size[1], i % size[2]]
}

fn flat(p: [usize; 3], size: [usize; 3]) -> usize {
    (p[0] * size[1] + p[1]) * size[2] + p[2]
}

impl Windows {
    /// Whether no size is zero.
    pub(in crate::kernels) fn valid(&self) -> bool {
        self.grid.iter().chain(&self.window).all(|s| *s > 0)
    }

    /// Tokens of the grid.
    pub fn cells(&self) -> usize {
        volume(self.grid)
    }

    /// Tokens of a window along X, Y, Z.
    fn used(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| self.window[a].min(self.grid[a]))
    }

    fn shift(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| if self.shifted && self.grid[a] > self.window[a] { self.window[a] / 2 } else { 0 })
    }

    fn counts(&self) -> [usize; 3] {
        let used = self.used();
        [0, 1, 2].map(|a| self.grid[a].div_ceil(used[a]))
    }

    fn padded(&self) -> [usize; 3] {
        let (used, counts) = (self.used(), self.counts());
        [0, 1, 2].map(|a| used[a] * counts[a])
    }

    /// Tokens of a window.
    pub fn tokens(&self) -> usize {
        volume(self.used())
    }

    /// Number of windows.
    pub fn windows(&self) -> usize {
        volume(self.counts())
    }

    /// Tokens of the padding.
    #[cfg(any(feature = "train", test))]
    pub(in crate::kernels) fn padding(&self) -> usize {
        volume(self.padded()) - self.cells()
    }

    /// Rows of the table: distances within a full window.
    pub fn distances(&self) -> usize {
        volume(self.window.map(|w| 2 * w - 1))
    }

    /// A token's part in the index of a pair's distance.
    fn part(&self, token: usize) -> usize {
        flat(at(token, self.window), self.window.map(|w| 2 * w - 1))
    }

    /// The row of the table for no distance.
    pub(in crate::kernels) fn middle(&self) -> usize {
        self.distances() / 2
    }

    /// The row of the table for a pair of tokens.
    pub(in crate::kernels) fn distance(&self, query: usize, key: usize) -> usize {
        self.part(query) + self.middle() - self.part(key)
    }

    /// The row of the table for every pair of a window's tokens, all keys of a query in a row.
    pub fn index(&self) -> Vec<usize> {
        let tokens = self.tokens();
        (0..tokens * tokens).map(|pair| self.distance(pair / tokens, pair % tokens)).collect()
    }

    /// Token `token` of window `window`.
    pub(in crate::kernels) fn place(&self, window: usize, token: usize) -> Place {
        let (used, shift, padded, grid) = (self.used(), self.shift(), self.padded(), self.grid);
        let (w, t) = (at(window, self.counts()), at(token, used));
        let s = [0, 1, 2].map(|a| w[a] * used[a] + t[a]);
        let region = |a: usize| match s[a] {
            _ if shift[a] == 0 => 0,
            s if s >= padded[a] - shift[a] => 2,
            s => usize::from(s >= padded[a] - used[a]),
        };
        let p = [0, 1, 2].map(|a| (s[a] + shift[a]) % padded[a]);
        let beyond = [0, 1, 2].map(|a| padded[a] - grid[a]);
        let first = self.cells();
        let second = first + beyond[0] * padded[1] * padded[2];
        let third = second + grid[0] * beyond[1] * padded[2];
        let cell = if p[0] >= grid[0] {
            first + flat([p[0] - grid[0], p[1], p[2]], padded)
        } else if p[1] >= grid[1] {
            second + flat([p[0], p[1] - grid[1], p[2]], [grid[0], beyond[1], padded[2]])
        } else if p[2] >= grid[2] {
            third + flat([p[0], p[1], p[2] - grid[2]], [grid[0], grid[1], beyond[2]])
        } else {
            flat(p, grid)
        };
        Place { cell, region: (region(0) * 3 + region(1)) * 3 + region(2) }
    }

    /// Bytes of what [`Windows::places`] writes.
    pub(in crate::kernels) fn places_bytes(&self) -> u64 {
        (self.windows() * self.tokens()) as u64 * 8
    }

    /// Writes every window's tokens, for the kernels that read them.
    pub(in crate::kernels) fn places(&self, to: Operand) -> Dispatch {
        let [grid, window, shift] = [self.grid, self.used(), self.shift()].map(|size| size.map(|s| s as u32));
        Dispatch {
            shader: "window_places",
            entry: "forward",
            constants: Vec::new(),
            params: PlaceParams {
                grid_x: grid[0],
                grid_y: grid[1],
                grid_z: grid[2],
                window_x: window[0],
                window_y: window[1],
                window_z: window[2],
                shift_x: shift[0],
                shift_y: shift[1],
                shift_z: shift[2],
                full_y: self.window[1] as u32,
                full_z: self.window[2] as u32,
            }
            .block(),
            bindings: vec![(to, Access::Write)],
            groups: groups((self.windows() * self.tokens()).div_ceil(64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_token_is_in_one_window() {
        for (grid, window, shifted) in [
            ([8, 8, 8], [7, 7, 7], true),
            ([5, 3, 9], [2, 4, 3], true),
            ([4, 4, 2], [7, 7, 7], true),
            ([10, 1, 7], [3, 1, 3], false),
        ] {
            let w = Windows { grid, window, shifted };
            let cells: BTreeSet<usize> = (0..w.windows())
                .flat_map(|window| (0..w.tokens()).map(move |token| w.place(window, token).cell))
                .collect();
            assert_eq!(cells.len(), w.windows() * w.tokens(), "{w:?}: no token twice");
            assert_eq!(cells.last(), Some(&(w.cells() + w.padding() - 1)), "{w:?}: numbers without gaps");
        }
    }

    #[test]
    fn small_windows_take_the_first_rows_of_the_full_ones_index() {
        // Tokens 0 and 2 of a window of 2 x 2 x 2 are (0, 1, 0) apart in space, but (0, 0, 2) in the index of 7 x 7 x 7.
        let w = Windows { grid: [2, 2, 2], window: [7, 7, 7], shifted: true };
        assert_eq!(w.distance(2, 0), w.middle() + 2);
        assert_eq!(w.shift(), [0; 3], "what one window spans is not moved");
    }
}
