// The end of a linear layer, four columns at a time: bias, GELU, residual. For shaders that bind `params`, `y` and, as
// BIAS and RESIDUAL say, `b` and `residual`, all as vec4.
#import activation

fn finish(row: u32, quad: u32, sum: vec4<f32>) {
    let quads = params.columns / 4u;
    if ((row >= params.rows) | (quad >= quads)) {
        return;
    }
    var v = sum;
#if BIAS
    v += b[quad];
#end
#if GELU
    v = vec4<f32>(gelu(v.x), gelu(v.y), gelu(v.z), gelu(v.w));
#end
#if RESIDUAL
    v += residual[(row % params.residual_rows) * quads + quad];
#end
    y[row * quads + quad] = v;
}
