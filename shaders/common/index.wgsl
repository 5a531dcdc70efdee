// The number of a workgroup in a grid that was split over three axes to stay within 65,535 per axis.
fn flat_group(wid: vec3<u32>, counts: vec3<u32>) -> u32 {
    return wid.x + counts.x * (wid.y + counts.y * wid.z);
}
