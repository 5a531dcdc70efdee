//! Lifetimes to slots: tensors that are never alive together share a buffer.
//!
//! Greedy by size (XNNPACK's "shared objects", arXiv 2001.03288): the largest tensor first, into the free slot that
//! wastes least. One slot is one `wgpu::Buffer`, never a range of a larger one: WebGPU forbids a dispatch to read and
//! write one buffer even at disjoint ranges.

/// When a tensor's memory is in use, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    pub bytes: u64,
    /// Node that writes it first.
    pub first: usize,
    /// Last node that uses it, inclusive.
    pub last: usize,
}

/// Slots and who lives where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Bytes of each slot.
    pub slots: Vec<u64>,
    /// Slot of each tensor, in the order given.
    pub of: Vec<usize>,
}

/// Assigns every lifetime a slot.
pub fn assign_slots(lifetimes: &[Lifetime]) -> Assignment {
    let mut order: Vec<usize> = (0..lifetimes.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(lifetimes[i].bytes), lifetimes[i].first));
    let mut slots: Vec<(u64, Vec<Lifetime>)> = Vec::new();
    let mut of = vec![0; lifetimes.len()];
    for i in order {
        let tensor = lifetimes[i];
        let free = |held: &[Lifetime]| held.iter().all(|h| h.last < tensor.first || tensor.last < h.first);
        // Tensors come in falling size, so a free slot is always large enough; the smallest wastes least.
        let best = (0..slots.len()).filter(|&s| free(&slots[s].1)).min_by_key(|&s| slots[s].0);
        of[i] = match best {
            Some(s) => {
                slots[s].1.push(tensor);
                s
            }
            None => {
                slots.push((tensor.bytes, vec![tensor]));
                slots.len() - 1
            }
        };
    }
    Assignment { slots: slots.into_iter().map(|(bytes, _)| bytes).collect(), of }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::HostTensor;

    #[test]
    fn no_two_live_tensors_share_a_slot() {
        for seed in 0..50 {
            let noise = HostTensor::noise([90], seed).data;
            let lifetimes: Vec<Lifetime> = noise
                .chunks(3)
                .map(|v| {
                    let first = ((v[0] + 1.0) * 20.0) as usize;
                    Lifetime {
                        bytes: ((v[1] + 1.001) * 1000.0) as u64,
                        first,
                        last: first + ((v[2] + 1.0) * 5.0) as usize,
                    }
                })
                .collect();
            let assignment = assign_slots(&lifetimes);
            for (i, a) in lifetimes.iter().enumerate() {
                assert!(assignment.slots[assignment.of[i]] >= a.bytes, "slot too small");
                for (j, b) in lifetimes.iter().enumerate().skip(i + 1) {
                    let overlap = a.first <= b.last && b.first <= a.last;
                    assert!(!overlap || assignment.of[i] != assignment.of[j], "{a:?} and {b:?}");
                }
            }
        }
    }

    #[test]
    fn a_chain_needs_two_slots() {
        let chain: Vec<Lifetime> = (0..10).map(|i| Lifetime { bytes: 100, first: i, last: i + 1 }).collect();
        assert_eq!(assign_slots(&chain).slots, [100, 100]);
    }
}
