// Two volumes and the windows that lead from one to the other: `Extents` of src/kernels/conv3d/geometry.rs.
struct Extents {
    x: u32, y: u32, z: u32, channels: u32,
    out_x: u32, out_y: u32, out_z: u32,
    kernel_x: u32, kernel_y: u32, kernel_z: u32,
    stride_x: u32, stride_y: u32, stride_z: u32,
    padding_x: u32, padding_y: u32, padding_z: u32,
    dilation_x: u32, dilation_y: u32, dilation_z: u32,
    // A struct in uniform memory is whole vectors.
    unused: u32,
}
