// Activation functions that are more than one operation.
//
// Error function: x P(x^2) / Q(x^2) on [-4, 4], 1 beyond; within 3e-7 of the true value. A rational function gives the
// same bits on adapters whose exp differ. Coefficients: the minimax fit used by Eigen and XLA.
fn erf(value: f32) -> f32 {
    let x = clamp(value, -4.0, 4.0);
    let s = x * x;
    var p = -2.72614225801306e-10;
    p = fma(p, s, 2.77068142495902e-08);
    p = fma(p, s, -2.10102402082508e-06);
    p = fma(p, s, -5.69250639462346e-05);
    p = fma(p, s, -7.34990630326855e-04);
    p = fma(p, s, -2.95459980854025e-03);
    p = fma(p, s, -1.60960333262415e-02);
    var q = -1.45660718464996e-05;
    q = fma(q, s, -2.13374055278905e-04);
    q = fma(q, s, -1.68282697438203e-03);
    q = fma(q, s, -7.37332916720468e-03);
    q = fma(q, s, -1.42647390514189e-02);
    return x * p / q;
}

// GELU in its exact form, as torch.nn.GELU().
fn gelu(x: f32) -> f32 {
    return 0.5 * x * (1.0 + erf(x * 0.70710678));
}

// (1 + erf(x / sqrt 2)) / 2 + x exp(-x^2 / 2) / sqrt(2 pi)
fn gelu_slope(x: f32) -> f32 {
    // The density is zero in f32 beyond 14; its argument must not overflow.
    let c = clamp(x, -14.0, 14.0);
    return fma(c * 0.39894228, exp(-0.5 * c * c), 0.5 + 0.5 * erf(x * 0.70710678));
}

// 1 / (1 + exp(-x)); the argument must not overflow.
fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-clamp(x, -87.0, 87.0)));
}
