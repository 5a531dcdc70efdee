// Two neighbours along an axis of `size` voxels and the share of the second, for voxel `o` of `out`.
struct Between { low: u32, high: u32, share: f32 }

fn between(o: u32, size: u32, out: u32) -> Between {
#if NEAREST
    let nearest = o * size / out;
    return Between(nearest, nearest, 0.0);
#else
    let position = max((2u * o + 1u) * size, out) - out;
    let low = position / (2u * out);
    return Between(low, min(low + 1u, size - 1u), f32(position % (2u * out)) / f32(2u * out));
#end
}
