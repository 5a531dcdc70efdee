//! Colours as DICOM recommends them: CIELab of the ICC's connection space, D50 (PS3.3, C.10.7.1.1).

/// From sRGB to XYZ under D50, Bradford's adaptation (IEC 61966-2-1 and ICC.1:2022, annex E).
const TO_XYZ: [[f64; 3]; 3] = [
    [0.436_074_7, 0.385_064_9, 0.143_080_4],
    [0.222_504_5, 0.716_878_6, 0.060_616_9],
    [0.013_932_2, 0.097_104_5, 0.714_173_3],
];
const WHITE: [f64; 3] = [0.964_22, 1.0, 0.825_21];

/// L*, a* and b* of an sRGB colour, scaled to 16 bits: L* from 0 to 100, a* and b* from -128 to 127.
pub(super) fn cielab(color: [u8; 3]) -> [u16; 3] {
    let linear = color.map(|c| {
        let c = f64::from(c) / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    });
    let root: [f64; 3] = std::array::from_fn(|r| {
        let t: f64 = (0..3).map(|c| TO_XYZ[r][c] * linear[c]).sum::<f64>() / WHITE[r];
        // The linear part near black joins the cube root smoothly at (6/29)^3.
        if t > 216.0 / 24_389.0 { t.cbrt() } else { (24_389.0 / 27.0 * t + 16.0) / 116.0 }
    });
    let [x, y, z] = root;
    let scaled =
        |value: f64, low: f64, high: f64| ((value - low) / (high - low) * 65_535.0).round().clamp(0.0, 65_535.0) as u16;
    [
        scaled(116.0 * y - 16.0, 0.0, 100.0),
        scaled(500.0 * (x - y), -128.0, 127.0),
        scaled(200.0 * (y - z), -128.0, 127.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::cielab;

    /// L* 0 to 100, a* and b* as colour tables of ICC profiles have them (D50).
    #[test]
    fn colours_are_those_of_icc_profiles() {
        for (color, [l, a, b]) in [
            ([255, 255, 255], [100.0, 0.0, 0.0]),
            ([0, 0, 0], [0.0, 0.0, 0.0]),
            ([255, 0, 0], [54.29, 80.81, 69.89]),
            ([0, 255, 0], [87.82, -79.29, 80.99]),
            ([0, 0, 255], [29.57, 68.30, -112.03]),
            ([128, 128, 128], [53.59, 0.0, 0.0]),
        ] {
            let made = cielab(color).map(f64::from);
            let made = [made[0] / 655.35, made[1] / 257.0 - 128.0, made[2] / 257.0 - 128.0];
            for (got, want) in made.iter().zip([l, a, b]) {
                assert!((got - want).abs() < 0.02, "{color:?}: {made:?}");
            }
        }
    }
}
