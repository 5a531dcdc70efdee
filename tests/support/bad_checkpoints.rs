//! Checkpoints that must be refused, each with a part of the message that must say why.

use super::torch_files::{ZipEntry, checkpoint, dictionary, pickle, tensor, text, zip};

/// Name, file and what the error must contain.
pub type BadCheckpoint = (&'static str, Vec<u8>, &'static str);

const ANCHOR: &str = "vit.patch_embedding.position_embeddings";

/// Every file that is no checkpoint; `proof` is a path that a pickle tries to create.
pub fn bad_checkpoints(proof: &str) -> Vec<BadCheckpoint> {
    let mut files = attacks(proof);
    files.extend(bombs());
    files.extend(broken());
    files
}

fn attacks(proof: &str) -> Vec<BadCheckpoint> {
    let command = text(&format!("touch {proof}"));
    let system = [b"cos\nsystem\n(", &command[..], b"tR"].concat();
    let hidden = [&text("posix")[..], &text("system"), b"\x93(", &command, b"tR"].concat();
    let memo = [&text("builtins")[..], b"q\x00", &text("eval"), b"q\x01h\x00h\x01\x93(", &command, b"tR"].concat();
    let inside = dictionary(ANCHOR, &system);
    let built = b"csubprocess\nPopen\n)\x81}b";
    // Names no module known for attacks, so it is read as data and not called.
    let unknown = [b"c__main__\nLoader\n(", &command[..], b"tR"].concat();
    vec![
        ("system", checkpoint(&pickle(&system), 1), "names \"os.system\""),
        ("stack-global", checkpoint(&pickle(&hidden), 1), "names \"posix.system\""),
        ("memo-eval", checkpoint(&pickle(&memo), 1), "names \"builtins.eval\""),
        ("system-as-tensor", checkpoint(&inside, 1), "nothing was run"),
        ("object-of-popen", checkpoint(&pickle(built), 1), "names \"subprocess.Popen\""),
        ("unknown-call", checkpoint(&dictionary("model", &unknown), 1), "there is no tensor in it"),
        ("legacy-system", legacy(&pickle(&system)), "names \"os.system\""),
    ]
}

/// The start of a legacy file: magic, version and system, then `object`.
fn legacy(object: &[u8]) -> Vec<u8> {
    let magic = pickle(b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19");
    let version = pickle(b"M\xe9\x03");
    let system = pickle(&[b"}", &text("little_endian")[..], b"\x88s"].concat());
    [&magic[..], &version, &system, object].concat()
}

fn bombs() -> Vec<BadCheckpoint> {
    // Each level holds ten of the level before.
    let mut levels = b")q\x00".to_vec();
    for level in 0..20u8 {
        levels.extend_from_slice(b"(");
        levels.extend([b'h', level].repeat(10));
        levels.extend([b't', b'q', level + 1]);
    }
    let name = "n".repeat(1 << 20);
    let class = [b"c", name.as_bytes(), b"\nClass\nq\x00", &b"h\x00".repeat(50_000)].concat();
    let rank = vec![1u32; 20_000];
    let shape = [&tensor(1, &rank, &rank)[..], &b"2".repeat(100_000)].concat();
    // A hundred dictionaries in each other, the innermost with many tensors.
    let keys = [b"}", &text(&"k".repeat(60_000))[..]].concat().repeat(100);
    let wide = [&keys[..], b"}", &many_tensors(5_000), b"u", &b"s".repeat(100)].concat();
    let expanded = tensor(1, &[50_000, 50_000], &[0, 0]);
    let zeros = ZipEntry::deflated("a/data/0", vec![0; 64 << 20]);
    let deflated = dictionary(ANCHOR, &tensor(16 << 20, &[16 << 20], &[1]));
    let flood = |count: usize| zip(&[ZipEntry::deflated("a/data.pkl", vec![b'N'; count])]);
    // The most values that pass the check.
    let values = b"N".repeat((1 << 19) - 3);
    let pairs = [b"}(", &b"K\x00N".repeat((1 << 18) - 4)[..], b"u"].concat();
    vec![
        ("many-values", checkpoint(&pickle(&values), 1), "cannot read the checkpoint"),
        ("many-keys", checkpoint(&pickle(&pairs), 1), "there is no tensor in it"),
        ("memo-bomb", checkpoint(&pickle(&levels), 1), "repeats its values until they fill memory"),
        ("class-name-bomb", checkpoint(&pickle(&class), 1), "repeats its values until they fill memory"),
        ("shape-bomb", checkpoint(&pickle(&shape), 1), "repeats its values until they fill memory"),
        ("key-bomb", checkpoint(&pickle(&wide), 1), "names are longer than"),
        ("nesting", checkpoint(&pickle(&[b")", &b"\x85".repeat(100_000)[..]].concat()), 1), "nests deeper than 200"),
        ("flood", flood(8 << 20), "more than 524288 instructions"),
        ("zip-bomb", flood(512 << 20), "more than 524288 instructions"),
        (
            "text-bomb",
            zip(&[ZipEntry::deflated("a/data.pkl", [&b"\x80\x02V"[..], &vec![b'a'; 256 << 20]].concat())]),
            "truncated?",
        ),
        ("expanded-tensor", checkpoint(&dictionary(ANCHOR, &expanded), 1), "claim 10000000000 bytes"),
        ("deflated-tensor", zip(&[ZipEntry::stored("a/data.pkl", deflated), zeros]), "claim 67108864 bytes"),
        ("text-4gib", checkpoint(b"\x80\x02X\xff\xff\xff\xffabc.", 1), "wants 4294967295 bytes"),
        (
            "text-u64",
            checkpoint(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.", 1),
            "wants 18446744073709551615 bytes",
        ),
        ("bytes-u64", checkpoint(b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7fabc.", 1), "beyond its end"),
        ("long-4gib", checkpoint(b"\x80\x02\x8b\xff\xff\xff\xffabc.", 1), "beyond its end"),
    ]
}

/// Keys and tensors for one dictionary.
fn many_tensors(count: usize) -> Vec<u8> {
    let body = tensor(1, &[1], &[1]);
    let mut items = b"(".to_vec();
    for index in 0..count {
        items.extend(text(&index.to_string()));
        items.extend_from_slice(&body);
    }
    items
}

fn broken() -> Vec<BadCheckpoint> {
    let good = checkpoint(&dictionary(ANCHOR, &tensor(4, &[1, 2, 2], &[4, 2, 1])), 4);
    let with = |tensor: Vec<u8>| checkpoint(&dictionary(ANCHOR, &tensor), 4);
    let twice = zip(&[ZipEntry::stored("a/data.pkl", pickle(b"}")), ZipEntry::stored("b/data.pkl", pickle(b"}"))]);
    let script =
        zip(&[ZipEntry::stored("a/data.pkl", pickle(b"}")), ZipEntry::stored("a/constants.pkl", pickle(b")"))]);
    let lies = ZipEntry { claimed: Some(u32::MAX - 1), ..ZipEntry::stored("a/data.pkl", pickle(b"}")) };
    let big_endian = zip(&[ZipEntry::stored("a/data.pkl", pickle(b"}")), ZipEntry::stored("a/byteorder", "big")]);
    let module = b"c__main__\nNet\n)\x81";
    vec![
        ("nothing", Vec::new(), "neither a safetensors file nor a PyTorch checkpoint"),
        ("text-file", b"hello, world".to_vec(), "neither a safetensors file"),
        ("plain-pickle", pickle(b"}"), "neither a safetensors file"),
        ("zip-magic-only", b"PK\x03\x04".to_vec(), "broken zip"),
        ("zip-cut", good[..good.len() - 30].to_vec(), "broken zip"),
        (
            "zip-without-pickle",
            zip(&[ZipEntry::stored("readme.txt", "hello")]),
            "it is a zip archive, not a PyTorch checkpoint",
        ),
        ("two-pickles", twice, "2 entries of the zip are named data.pkl"),
        ("torchscript without weights", script, "there is no tensor in it"),
        ("size-lie", zip(&[lies]), "cannot read the checkpoint"),
        ("big-endian", big_endian, "Big-endian"),
        ("underflow", checkpoint(&pickle(b"R"), 1), "takes more from its stack"),
        ("no-mark", checkpoint(&pickle(b"t"), 1), "misses a mark"),
        ("no-stop", checkpoint(b"\x80\x02}", 1), "truncated?"),
        ("unknown-instruction", checkpoint(&pickle(b"\xff"), 1), "unknown instruction 0xff"),
        ("memo-miss", checkpoint(&pickle(b"h\x07"), 1), "fetches value 7"),
        ("root-list", checkpoint(&pickle(b"]"), 1), "cannot read the checkpoint"),
        ("shape-beyond-storage", with(tensor(4, &[1, 3, 2], &[6, 2, 1])), "cannot read the checkpoint"),
        ("rank-mismatch", with(tensor(4, &[4], &[2, 1])), "cannot read the checkpoint"),
        ("negative-size", with(tensor(4, &[u32::MAX], &[1])), "cannot read the checkpoint"),
        ("module-without-tensors", checkpoint(&dictionary("net", module), 1), "there is no tensor in it"),
        ("only-embeddings", good, "only the transformer encoder"),
        (
            "other-network",
            checkpoint(&dictionary("conv.weight", &tensor(4, &[4], &[1])), 4),
            "SETR, TransBTS): its first tensors are \"conv.weight\"",
        ),
    ]
}
