//! Pixels, text on them, and the PNG of it.

use std::convert::Infallible;

use embedded_graphics::mono_font::iso_8859_1::{FONT_9X15, FONT_9X18_BOLD, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};

use super::letters;
use crate::report::ReportError;

/// Red, green, blue.
pub(super) type Color = [u8; 3];

/// Where a text stands at its point.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Middle,
    Right,
}

/// Pixels that a text takes.
pub(super) fn text_width(text: &str) -> i32 {
    width_in(text, &FONT_9X15)
}

/// Pixels that a title takes.
pub(super) fn title_width(text: &str) -> i32 {
    width_in(text, &FONT_10X20)
}

fn width_in(text: &str, font: &MonoFont<'_>) -> i32 {
    let text = letters::on_one_line(text);
    match letters::is_latin(&text) {
        true => font.character_size.width as i32 * text.chars().count() as i32,
        false => letters::glyphs(&text).1,
    }
}

/// A picture in memory.
pub(super) struct Canvas {
    width: i32,
    height: i32,
    pixels: Vec<u8>,
}

impl Canvas {
    pub fn new(width: i32, height: i32, paper: Color) -> Self {
        let count = usize::try_from(width).unwrap_or(0) * usize::try_from(height).unwrap_or(0);
        Self { width, height, pixels: paper.repeat(count) }
    }

    /// Sets a pixel; outside of the picture nothing happens.
    pub fn set(&mut self, [x, y]: [i32; 2], color: Color) {
        if (0..self.width).contains(&x) && (0..self.height).contains(&y) {
            let at = 3 * (y as usize * self.width as usize + x as usize);
            self.pixels[at..at + 3].copy_from_slice(&color);
        }
    }

    pub fn fill(&mut self, at: [i32; 2], size: [i32; 2], color: Color) {
        for y in at[1]..at[1] + size[1] {
            for x in at[0]..at[0] + size[0] {
                self.set([x, y], color);
            }
        }
    }

    pub fn frame(&mut self, at: [i32; 2], size: [i32; 2], color: Color) {
        self.fill(at, [size[0], 1], color);
        self.fill([at[0], at[1] + size[1] - 1], [size[0], 1], color);
        self.fill(at, [1, size[1]], color);
        self.fill([at[0] + size[0] - 1, at[1]], [1, size[1]], color);
    }

    pub fn title(&mut self, at: [i32; 2], text: &str, color: Color) {
        self.write(at, text, &FONT_10X20, Alignment::Left, Baseline::Top, color);
    }

    pub fn text(&mut self, at: [i32; 2], text: &str, color: Color) {
        self.write(at, text, &FONT_9X15, Alignment::Left, Baseline::Top, color);
    }

    pub fn text_right(&mut self, at: [i32; 2], text: &str, color: Color) {
        self.write(at, text, &FONT_9X15, Alignment::Right, Baseline::Top, color);
    }

    /// Text on an image, with a dark rim.
    pub fn shadowed(&mut self, at: [i32; 2], text: &str, color: Color) {
        self.rimmed(at, text, &FONT_9X15, Alignment::Left, Baseline::Top, color);
    }

    /// The same, ending at `at`.
    pub fn shadowed_right(&mut self, at: [i32; 2], text: &str, color: Color) {
        self.rimmed(at, text, &FONT_9X15, Alignment::Right, Baseline::Top, color);
    }

    /// An orientation letter, upright around `at`.
    pub fn letter(&mut self, at: [i32; 2], text: &str, align: Align, color: Color) {
        let align = match align {
            Align::Left => Alignment::Left,
            Align::Middle => Alignment::Center,
            Align::Right => Alignment::Right,
        };
        self.rimmed(at, text, &FONT_9X18_BOLD, align, Baseline::Middle, color);
    }

    fn rimmed(
        &mut self,
        at: [i32; 2],
        text: &str,
        font: &MonoFont<'_>,
        align: Alignment,
        base: Baseline,
        color: Color,
    ) {
        for (dx, dy) in [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)] {
            self.write([at[0] + dx, at[1] + dy], text, font, align, base, [0; 3]);
        }
        self.write(at, text, font, align, base, color);
    }

    fn write(&mut self, at: [i32; 2], text: &str, font: &MonoFont<'_>, align: Alignment, base: Baseline, color: Color) {
        // A line break would leave its line.
        let shown = letters::on_one_line(text);
        if !letters::is_latin(&shown) {
            return self.write_any(at, &shown, font, (align, base), color);
        }
        let style = MonoTextStyle::new(font, Rgb888::new(color[0], color[1], color[2]));
        let place = TextStyleBuilder::new().alignment(align).baseline(base).build();
        // Drawing in memory cannot fail.
        let _ = Text::with_text_style(&shown, Point::new(at[0], at[1]), style, place).draw(self);
    }

    /// Text that the fonts have no letters for, in the middle of the line that the font would take.
    fn write_any(
        &mut self,
        at: [i32; 2],
        text: &str,
        font: &MonoFont<'_>,
        (align, base): (Alignment, Baseline),
        color: Color,
    ) {
        let (placed, width) = letters::glyphs(text);
        let left = match align {
            Alignment::Left => at[0],
            Alignment::Center => at[0] - width / 2,
            Alignment::Right => at[0] - width + 1,
        };
        let line = font.character_size.height as i32;
        let top =
            if base == Baseline::Middle { at[1] - letters::HEIGHT / 2 } else { at[1] + (line - letters::HEIGHT) / 2 };
        for (x, glyph) in placed {
            for row in 0..letters::HEIGHT {
                for column in (0..glyph.get_width()).filter(|&column| glyph.get_pixel(column, row as usize)) {
                    self.set([left + x + column as i32, top + row], color);
                }
            }
        }
    }

    /// Leaves the upper six bits of each value, rounded: noise that nobody sees takes most of a file.
    pub fn coarsen(&mut self) {
        for value in &mut self.pixels {
            *value = value.saturating_add(2) & 0xfc;
        }
    }

    pub fn to_png(&self) -> Result<Vec<u8>, ReportError> {
        self.encode(png::Compression::default())
    }

    /// The same, slower and smaller.
    pub fn to_small_png(&self) -> Result<Vec<u8>, ReportError> {
        self.encode(png::Compression::High)
    }

    fn encode(&self, compression: png::Compression) -> Result<Vec<u8>, ReportError> {
        let failed = |e: png::EncodingError| ReportError::Picture(e.to_string());
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width.unsigned_abs(), self.height.unsigned_abs());
        encoder.set_compression(compression);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&self.pixels).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes)
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.width.unsigned_abs(), self.height.unsigned_abs())
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, color) in pixels {
            self.set([point.x, point.y], [color.r(), color.g(), color.b()]);
        }
        Ok(())
    }
}
