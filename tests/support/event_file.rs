//! A reader of TensorBoard's event files that shares nothing with the writer.

/// The records of a TFRecord file, their checksums tested bit by bit.
pub fn tfrecords(bytes: &[u8]) -> Vec<&[u8]> {
    let crc = |bytes: &[u8]| {
        let crc = !bytes.iter().fold(!0u32, |crc, b| {
            (0..8).fold(crc ^ u32::from(*b), |c, _| if c & 1 == 1 { c >> 1 ^ 0x82f6_3b78 } else { c >> 1 })
        });
        crc.rotate_right(15).wrapping_add(0xa282_ead8)
    };
    let (mut at, mut records) = (0, Vec::new());
    while at < bytes.len() {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let length = word(at) as usize;
        assert_eq!((word(at + 4), word(at + 8)), (0, crc(&bytes[at..at + 8])));
        let message = &bytes[at + 12..at + 12 + length];
        assert_eq!(word(at + 12 + length), crc(message));
        records.push(message);
        at += 16 + length;
    }
    records
}

/// The fields of a protobuf message: numbers, and bytes or the raw value.
pub fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (first, rest) = bytes.split_first().expect("a byte");
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                let value = varint(&mut bytes);
                fields.push((key >> 3, value.to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        fields.push((key >> 3, value.to_vec()));
        bytes = rest;
    }
    fields
}
