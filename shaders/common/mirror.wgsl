// Index `i` of `n` from the other end where the lowest bit of `bits` is set.
fn mirror(i: u32, n: u32, bits: u32) -> u32 {
    return select(i, n - 1u - i, (bits & 1u) != 0u);
}
