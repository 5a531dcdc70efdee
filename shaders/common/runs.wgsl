// How invocations share a stretch of memory: RUN neighbours take its values in turn, and the next RUN go on behind them.
// On GPUs these are a whole group, or at least a line of memory, so that neighbours read neighbouring values at the same time;
// on software adapters one vector of lanes, which then runs through memory in order.
//
// The first of `steps` values of an invocation whose group starts at `first`; the others follow every RUN.
fn run_start(first: u32, lane: u32, steps: u32) -> u32 {
    return first + lane / RUN * RUN * steps + lane % RUN;
}

// The end of its run, within `count` values.
fn run_end(first: u32, lane: u32, steps: u32, count: u32) -> u32 {
    return min(first + (lane / RUN + 1u) * RUN * steps, count);
}
