//! Files that mean harm, in every format: an error that names the file, or other tensors; never a panic, never more
//! memory than the file can mean. `fuzz/` goes on where this ends.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tch::Device;
use tchvision::models::ModelSpec;
use tchvision::weights::{self, Archive, Classes, StateFile};

/// Counts what each thread allocates outside libtorch, and the most of it there was.
struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does the work; counting allocates nothing, as the cells need no initialisation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.get() + layout.size() as isize;
        NOW.set(now);
        MOST.set(MOST.get().max(now));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.set(NOW.get() - layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A file that is written again and again.
struct Victim {
    folder: tempfile::TempDir,
}

impl Victim {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("weights.bin")
    }

    /// Reads all tensors of all state_dicts; how many there are. An error must name the file.
    fn read(&self, bytes: &[u8]) -> Result<usize, String> {
        std::fs::write(self.path(), bytes).unwrap();
        read(&self.path()).map_err(|error| {
            let message = format!("{error:#}");
            assert!(message.contains("weights.bin"), "an error without the file's name: {message}");
            message
        })
    }

    /// The message of the error that there must be.
    fn fails(&self, bytes: &[u8]) -> String {
        self.read(bytes).expect_err("an error")
    }
}

fn read(path: &Path) -> anyhow::Result<usize> {
    let keys: Vec<String> = Archive::open(path)?.groups().iter().map(|group| group.key.clone()).collect();
    let mut tensors = 0;
    for key in &keys {
        let state = Archive::open(path)?.choose(Some(key))?;
        for name in state.names() {
            let copy = state.get(name)?.f_contiguous()?;
            tensors += usize::from(copy.numel() < usize::MAX);
        }
    }
    Ok(tensors)
}

/// The most memory that the thread had while this ran, beyond what it had before.
fn most_memory(run: impl FnOnce()) -> usize {
    let before = NOW.get();
    MOST.set(before);
    run();
    (MOST.get() - before) as usize
}

/// The small files of every format, by name.
fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights");
    let entries = [folder.join("containers"), folder].map(|folder| std::fs::read_dir(folder).unwrap());
    let paths = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    let is_weights = |path: &PathBuf| path.extension().is_some_and(|e| e != "py" && e != "json");
    let mut files: Vec<(String, Vec<u8>)> = paths
        .filter(is_weights)
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() > 40);
    files
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Every byte is a place to cut a small file at; of larger ones every few, and where members and records begin.
#[test]
fn a_file_that_is_cut_is_an_error() {
    let victim = Victim::new();
    for (name, whole) in fixtures() {
        assert!(victim.read(&whole).is_ok(), "{name}");
        let step = 1 + whole.len() / 500;
        let marks = (0..whole.len()).filter(|&at| whole[at..].starts_with(b"PK") || whole[at] == b'.');
        let mut cuts: Vec<usize> = (0..whole.len()).step_by(step).chain(marks).collect();
        cuts.dedup();
        for cut in cuts {
            assert!(victim.read(&whole[..cut]).is_err(), "{name} cut at {cut} was read");
        }
    }
}

const TELLING: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Changes a file in one to four places: bytes, numbers of every width, pieces moved, doubled or dropped.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let piece = at..at + random.below(64).min(bytes.len() - at);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => {
                let width = (1 << random.below(4)).min(bytes.len() - at);
                let number = TELLING[random.below(TELLING.len())].wrapping_add(random.below(3) as u64);
                bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
            }
            3 => drop(bytes.drain(piece)),
            4 => {
                let copy = bytes[piece].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => {
                let copy = bytes[piece].to_vec();
                let to = random.below(bytes.len() - copy.len() + 1);
                bytes[to..to + copy.len()].copy_from_slice(&copy);
            }
        }
        if bytes.is_empty() {
            return;
        }
    }
}

/// Changed files of every format; `seconds` of them.
fn mutations(each: usize, seconds: u64, seed: u64) -> usize {
    let victim = Victim::new();
    let (files, started) = (fixtures(), Instant::now());
    let (mut random, mut tried) = (Random(seed), 0);
    for _ in 0..each {
        for (name, whole) in &files {
            let before = random.0;
            let mut bytes = whole.clone();
            mutate(&mut bytes, &mut random);
            let most = most_memory(|| drop(victim.read(&bytes)));
            assert!(most < 64 << 20, "{name}, seed {before}: {most} bytes");
            tried += 1;
        }
        if started.elapsed() > Duration::from_secs(seconds) {
            break;
        }
    }
    tried
}

#[test]
fn a_file_that_is_changed_is_an_error_or_other_tensors() {
    assert!(mutations(150, 600, 1) > 1000);
}

/// `TCHVISION_SECONDS=300 cargo test --release --test weights hostile:: -- --ignored`
#[test]
#[ignore = "runs for minutes"]
fn many_changed_files() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let (seconds, seed) = (setting("TCHVISION_SECONDS").unwrap_or(120), setting("TCHVISION_SEED"));
    let tried = mutations(usize::MAX, seconds, seed.unwrap_or_else(|| u64::from(std::process::id())));
    eprintln!("{tried} changed files");
}

/// A NumPy array.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), data].concat()
}

/// A member of a zip: its name, and where and how its bytes are.
struct Member<'a> {
    name: &'a [u8],
    method: u16,
    at: u32,
    packed: u32,
    length: u32,
}

/// A zip of these members, whose local files are `body`.
fn zip(mut body: Vec<u8>, members: &[Member]) -> Vec<u8> {
    let start = body.len() as u32;
    for member in members {
        body.extend(b"PK\x01\x02\x14\0\x14\0\0\0");
        body.extend(member.method.to_le_bytes());
        body.extend([0; 8]);
        [member.packed, member.length].iter().for_each(|n| body.extend(n.to_le_bytes()));
        body.extend((member.name.len() as u16).to_le_bytes());
        body.extend([0; 12]);
        body.extend(member.at.to_le_bytes());
        body.extend(member.name);
    }
    let size = body.len() as u32 - start;
    body.extend(b"PK\x05\x06\0\0\0\0");
    let count = (members.len().min(0xffff) as u16).to_le_bytes();
    body.extend([count, count].concat());
    [size, start].iter().for_each(|n| body.extend(n.to_le_bytes()));
    body.extend([0; 2]);
    body
}

/// What stands before a member's bytes.
fn local(packed: &[u8]) -> Vec<u8> {
    [b"PK\x03\x04".as_slice(), &[0; 26], packed].concat()
}

fn stored<'a>(name: &'a [u8], bytes: &[u8]) -> Member<'a> {
    Member { name, method: 0, at: 0, packed: bytes.len() as u32, length: bytes.len() as u32 }
}

#[test]
fn names_of_a_zip_lead_nowhere() {
    let victim = Victim::new();
    let array = npy("'<f4'", "(2,)", &[0; 8]);
    // The same bytes under several names: names are looked up, never paths that are written.
    for name in [&b"/tmp/x.npy"[..], b"../../x.npy", b"..\\x.npy", b"C:/x.npy", b"\0.npy", b".npy"] {
        assert_eq!(victim.read(&zip(local(&array), &[stored(name, &array)])).unwrap(), 1);
    }
    let both = [stored(b"a.npy", &array), stored(b"../b.npy", &array)];
    assert_eq!(victim.read(&zip(local(&array), &both)).unwrap(), 2);
    assert_eq!(std::fs::read_dir(victim.folder.path()).unwrap().count(), 1);
    let message = victim.fails(&zip(local(&array), &[stored(b"\xff\xfe.npy", &array)]));
    assert!(message.contains("zip member 0") && message.contains("not UTF-8"), "{message}");
}

#[test]
fn sizes_of_a_zip_that_lie_are_refused() {
    let victim = Victim::new();
    let array = npy("'<f4'", "(2,)", &[0; 8]);
    let length = array.len() as u32;
    let one = |change: &dyn Fn(&mut Member)| {
        let mut member = stored(b"x.npy", &array);
        change(&mut member);
        victim.fails(&zip(local(&array), &[member]))
    };
    assert!(one(&|m| m.at = 1).contains("not at the offset in the directory"));
    assert!(one(&|m| m.at = u32::MAX - 1).contains("a length or an offset is wrong"));
    assert!(one(&|m| (m.packed, m.length) = (length + 999, length + 999)).contains("`x.npy`"));
    assert!(one(&|m| (m.packed, m.length) = (u32::MAX, u32::MAX)).contains("`x.npy`"));
    assert!(one(&|m| m.length += 1).contains("its two lengths differ"));
    assert!(one(&|m| m.method = 12).contains("compressed by method 12"));
    assert!(one(&|m| m.method = 8).contains("array `x`"));
}

/// Ten thousand members that are one and the same megabyte of nothing.
#[test]
fn members_that_overlap_are_no_bomb() {
    let victim = Victim::new();
    let array = npy("'|u1'", "(1048576,)", &vec![0; 1 << 20]);
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&array).unwrap();
    let packed = packer.finish().unwrap();
    let names: Vec<String> = (0..10_000).map(|i| format!("{i}.npy")).collect();
    let member = |name: &String| Member {
        name: name.clone().leak().as_bytes(),
        method: 8,
        at: 0,
        packed: packed.len() as u32,
        length: array.len() as u32,
    };
    let members: Vec<Member> = names.iter().map(member).collect();
    let file = zip(local(&packed), &members);
    let most = most_memory(|| {
        let message = victim.fails(&file);
        assert!(message.contains("10485760000 bytes of tensors"), "{message}");
    });
    assert!(most < 64 << 20, "{most}");
    assert_eq!(victim.read(&zip(local(&packed), &members[..3])).unwrap(), 3);
}

#[test]
fn arrays_that_are_no_tensors_are_refused() {
    let victim = Victim::new();
    let huge = "9223372036854775807";
    for (descr, shape, why) in [
        ("'<f16'", "(1,)", "dtype <f16"),
        ("'|O'", "(1,)", "dtype |O"),
        ("'<U3'", "(1,)", "dtype <U3"),
        ("'>f4'", "(2,)", "big-endian"),
        ("[('a', '<f4')]", "(2,)", "records"),
        ("'<f4'", "(3,)", "does not fill"),
        ("'<f4'", "(-2,)", "a size of -2"),
        ("'<f4'", "(-2, 0)", "a size of -2"),
        ("'<f4'", &format!("({huge}, {huge})"), "overflows"),
        ("'<f4'", &format!("({huge}9,)"), "shape"),
        ("'<f4'", &format!("({})", "1,".repeat(65)), "65 dimensions"),
        ("'<f4'", "2", "has no shape"),
    ] {
        let message = victim.fails(&npy(descr, shape, &[0; 8]));
        assert!(message.contains(why), "{descr} {shape}: {message}");
    }
    let mut long = npy("'<f4'", "(2,)", &[0; 8]);
    long[6] = 2;
    long.splice(8..10, 0x7fff_ffffu32.to_le_bytes());
    assert!(victim.fails(&long).contains("a header of 2147483647 bytes"));
    long[6] = 9;
    assert!(victim.fails(&long).contains("version 9"));
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn safetensors_whose_header_lies_are_refused() {
    let victim = Victim::new();
    let tensor = |dtype: &str, shape: &str, from: u64, to: u64| {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let one = |dtype: &str, shape: &str, from, to| format!(r#"{{"a":{}}}"#, tensor(dtype, shape, from, to));
    assert_eq!(victim.read(&safetensors(&one("F32", "[2]", 0, 8), &[0; 8])).unwrap(), 1);
    let overlapping =
        format!(r#"{{"a":{},"b":{}}}"#, tensor("F32", "[2]", 0, 8), tensor("F32", "[2]", 4, 12));
    for header in [
        one("F32", "[3]", 0, 8),
        one("F32", "[2]", 8, 0),
        one("F32", "[2]", 4, 12),
        one("F32", "[2]", u64::MAX - 7, u64::MAX),
        one("F32", "[18446744073709551615, 2]", 0, 8),
        one("F32", "[-1]", 0, 8),
        one("Q9", "[2]", 0, 8),
        one("F4", "[16]", 0, 8),
        overlapping,
        "{".repeat(100_000),
        format!(r#"{{"a":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000)),
        r#"{"__metadata__":{"format":1}}"#.to_owned(),
    ] {
        let shown: String = header.chars().take(80).collect();
        let most = most_memory(|| drop(victim.fails(&safetensors(&header, &[0; 8]))));
        assert!(most < 16 << 20, "{shown}: {most}");
    }
    for length in [1, 9, 1 << 20, 1 << 40, u64::MAX - 7, u64::MAX] {
        let mut file = safetensors(&one("F32", "[2]", 0, 8), &[0; 8]);
        file[..8].copy_from_slice(&length.to_le_bytes());
        assert!(victim.read(&file).is_err(), "{length}");
    }
}

/// A legacy file around one pickle of data, with one storage of `storage` bytes where there are any.
fn legacy(data: &[u8], storage: &[u8]) -> Vec<u8> {
    let head: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    let keys: &[u8] = if storage.is_empty() { b"\x80\x02]." } else { b"\x80\x02]X\x01\0\0\x000a." };
    let count = (storage.len() as u64 / 4).to_le_bytes();
    let count: &[u8] = if storage.is_empty() { &[] } else { &count };
    [head, b"\x80\x02", data, b".", keys, count, storage].concat()
}

/// Values may be named again and again: neither the time nor the memory may follow what that spells.
#[test]
fn a_pickle_that_names_itself_is_no_bomb() {
    let victim = Victim::new();
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    // A dict of 200,000 numbers, 200,000 times in a dict: forty thousand million if each were looked through.
    let mut shared = b"}(".to_vec();
    for i in 0..200_000 {
        shared.extend(text(&i.to_string()));
        shared.extend(b"K\x01");
    }
    shared.extend(b"uq\x000}(");
    for i in 0..200_000 {
        shared.extend(text(&i.to_string()));
        shared.extend(b"h\x00");
    }
    shared.extend(b"u");
    let started = Instant::now();
    assert_eq!(victim.read(&legacy(&shared, &[])), Ok(0));
    // A list of a million numbers is no state_dict, but no bomb either, beside one.
    let storage = "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04NtQ";
    let tensor = |rest: &[u8]| {
        let start = format!("X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n({storage}");
        [start.as_bytes(), rest, b"\x89}tR"].concat()
    };
    let losses = [b"X\x01\0\0\0b](".as_slice(), &b"K\x01".repeat(1_000_000), b"e"].concat();
    let whole = [b"}(".as_slice(), &tensor(b"K\x00(K\x04t(K\x01t"), &losses, b"u"].concat();
    assert_eq!(victim.read(&legacy(&whole, &[0; 16])).unwrap(), 1);
    // Four bytes as a tensor of a terabyte, and a shape of a million sizes.
    let expanded = [b"}(".as_slice(), &tensor(b"K\x00(\x8a\x06\0\0\0\0\0\x01t(K\x00t"), b"u"].concat();
    let message = victim.fails(&legacy(&expanded, &[0; 16]));
    assert!(message.contains("4398046511104 bytes of tensors"), "{message}");
    let long = [b"K\x00(".as_slice(), &b"K\x01".repeat(1_000_000), b"t(K\x01t"].concat();
    let message = victim.fails(&legacy(&[b"}(".as_slice(), &tensor(&long), b"u"].concat(), &[0; 16]));
    assert!(message.contains("1000000 dimensions"), "{message}");
    // As many opcodes as are read, and not one more.
    let most = most_memory(|| {
        victim.fails(&legacy(&vec![b'}'; 6_000_000], &[]));
    });
    assert!(most < 1 << 30, "{most}");
    assert!(started.elapsed() < Duration::from_secs(120));
}

/// One tensor that says it is of very many blocks.
#[test]
fn blocks_without_end_are_refused() {
    let victim = Victim::new();
    let array = npy("'<f4'", "(4611686018427387904, 0)", &[]);
    let name = b"Transformer/encoderblock/LayerNorm_0/scale.npy";
    std::fs::write(victim.path(), zip(local(&array), &[stored(name, &array)])).unwrap();
    let file = StateFile::open(&victim.path()).unwrap();
    let spec = ModelSpec::new("timm/vit_tiny_patch16_224");
    let error = weights::pretrained(&spec, &file, Classes::New, Device::Cpu).err().unwrap();
    let message = format!("{error:#}");
    assert!(message.contains("weights.bin") && message.contains("blocks"), "{message}");
}

/// Numbers in names are computed with: none is too large for it.
#[test]
fn numbers_without_end_in_names_are_names() {
    let huge = u64::MAX;
    for (model, name) in [
        ("torchvision/mobilenet_v2", format!("blocks.6.{huge}.conv_pw.weight")),
        ("timm/swin_tiny_patch4_window7_224", format!("features.{huge}.0.mlp.0.weight")),
        (
            "timm/vit_tiny_patch16_224",
            format!("Transformer/encoderblock_{huge}/MlpBlock_3/Dense_{huge}/kernel"),
        ),
        ("timm/resnetv2_50x1_bit", format!("resnet/block{huge}0/unit{huge}/a/group_norm/beta")),
    ] {
        let victim = Victim::new();
        let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}}"#);
        std::fs::write(victim.path(), safetensors(&header, &[0; 8])).unwrap();
        let file = StateFile::open(&victim.path()).unwrap();
        let error =
            weights::pretrained(&ModelSpec::new(model), &file, Classes::New, Device::Cpu).err().unwrap();
        assert!(format!("{error:#}").contains(&format!("unexpected `{name}`")), "{model}");
    }
}

/// Modules within each other, tensors of themselves, arrays that are not there: each is an error or no tensor.
#[test]
fn objects_that_lie_are_refused() {
    let victim = Victim::new();
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    // An object with empty parts, up to the value of `_modules`, which is on the stack in the memo as well.
    let module = |class: &[u8], modules: &[u8]| {
        let parts = [text("_parameters"), b"}".to_vec(), text("_buffers"), b"}".to_vec(), text("_modules")];
        [class, b"}(", &parts.concat(), modules, b"ub"].concat()
    };
    // A module that is its own child; by each way to make an object.
    for class in [&b"(ca\nM\noq\x01"[..], b"(ia\nM\nq\x01", b"ca\nM\n)\x81q\x01", b"ca\nM\n)Rq\x01"] {
        let own = module(class, &[b"}".as_slice(), &text("a"), b"h\x01s"].concat());
        let message = victim.fails(&legacy(&own, &[]));
        assert!(message.contains("64 deep"), "{message}");
    }
    // Sixty modules with the next one twice.
    let mut twice = module(b"ca\nM\n)\x81", b"}");
    for _ in 0..60 {
        let inner = [b"}(".as_slice(), &text("a"), b"h\x02", &text("b"), b"h\x02u"].concat();
        twice = [twice.as_slice(), b"q\x02", &module(b"ca\nM\n)\x81", &inner)].concat();
    }
    let message = victim.fails(&legacy(&twice, &[]));
    assert!(message.contains("more than 200000 values"), "{message}");
    // Objects that are their own state, arguments, class or items.
    for own in [
        &b"ca\nM\n)\x81q\x00h\x00b"[..],
        b"(lq\x00h\x00a",
        b"(dp0\nVa\ng0\ns",
        b"ca\nM\n]q\x00R",
        b"]q\x00h\x00h\x00R",
        b"\x82\x01\x83\x01\x00\x84\x01\x00\x00\x00\x97\x98",
        b"(0N",
        b"L999999999999999999999999999999L\n",
    ] {
        assert_eq!(victim.read(&legacy(own, &[])), Ok(0), "{}", own.escape_ascii());
    }
    for wrong in [
        &b"(io\n"[..],
        b"]q\x00h\x00Q",
        b"P(((, ,\n",
        b"P\n",
        b"(o",
        b"i",
        b"0",
        b"1",
        b"(ta",
        b"Vx",
        b"g0\n",
        b"L\xff\n",
        b"\xff",
        b"\x8b\xff\xff\xff\xff",
    ] {
        assert!(victim.read(&legacy(wrong, &[])).is_err(), "{}", wrong.escape_ascii());
    }
    // A hundred thousand lists and dicts within each other are looked into as deep as any checkpoint is.
    let deep = [b"(l".repeat(100_000), b"a".repeat(99_999)].concat();
    assert_eq!(victim.read(&legacy(&deep, &[])), Ok(0));
    let deep = [b"(dVa\n".repeat(100_000), b"N".to_vec(), b"s".repeat(100_000)].concat();
    assert_eq!(victim.read(&legacy(&deep, &[])), Ok(0));
}

#[test]
fn arrays_in_pickles_that_lie_are_refused() {
    let victim = Victim::new();
    let array = |shape: &str, dtype: &str, data: &str| {
        let parts = format!(
            "(dVa\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR(I1\n{shape}\
             cnumpy\ndtype\n(V{dtype}\nI00\nI01\ntR(I3\nV<\nNNNI-1\nI-1\nI0\ntbI00\n{data}tbs"
        );
        legacy(parts.as_bytes(), &[])
    };
    let encoded = |text: &str| format!("c_codecs\nencode\n(V{text}\nVlatin1\ntR");
    assert_eq!(victim.read(&array("(I2\nt", "u1", &encoded("a\\u00ff"))), Ok(1));
    assert_eq!(victim.read(&array("(I2\nt", "U1", &encoded("ab"))), Ok(0));
    for (shape, data, why) in [
        ("(I3\nt", encoded("ab"), "2 bytes instead of 3"),
        ("(I2\nt", encoded("a\\u0100"), "text where bytes should be"),
        ("(I2\nt", encoded("a\\u00"), "an escape is cut"),
        ("(I-1\nt", encoded("ab"), "overflows"),
        ("(I4611686018427387904\nI4\nI4\nt", encoded("ab"), "overflows"),
        ("(I1099511627776\nt", encoded("ab"), "bytes of tensors"),
        ("(I2\nt", "N".to_owned(), "an array without its bytes"),
        ("(I2\nt", "S'a'\n".to_owned(), "1 bytes instead of 2"),
        ("(I2\nt", "C\x03abc".to_owned(), "does not fill"),
    ] {
        let message = victim.fails(&array(shape, "u1", &data));
        assert!(message.contains(why), "{shape} {data}: {message}");
    }
}

/// Half a gigabyte of zeros, of which only what tells where they are is read.
#[test]
fn large_files_are_not_read_to_be_opened() {
    let victim = Victim::new();
    const SIZE: u64 = 1 << 29;
    let sparse = |start: &[u8], end: &[u8]| {
        std::fs::write(victim.path(), start).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(victim.path()).unwrap();
        file.set_len(start.len() as u64 + SIZE).unwrap();
        file.write_all_at(end, start.len() as u64 + SIZE).unwrap();
        let started = Instant::now();
        let most = most_memory(|| {
            let archive = Archive::open(&victim.path()).unwrap();
            assert_eq!(archive.groups()[0].tensors[0].shape, [1 << 27]);
        });
        assert!(most < 1 << 20, "{most}");
        assert!(started.elapsed() < Duration::from_secs(1));
    };
    let header = format!(r#"{{"a":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{SIZE}]}}}}"#, SIZE / 4);
    sparse(&safetensors(&header, &[]), &[]);
    let storage = "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04NtQ";
    let tensor =
        format!("}}Vw\nctorch._utils\n_rebuild_tensor_v2\n({storage}K\0(J\0\0\0\x08t(K\x01tI00\nNtRs");
    let mut file = legacy(tensor.as_bytes(), &[0; 4]);
    let place = file.len() - 12;
    file.truncate(place);
    file.extend((SIZE / 4).to_le_bytes());
    sparse(&file, &[]);
    let array = "}Vw\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tVb\ntR(K\x01(J\0\0\0\x08tcnumpy\n\
                 dtype\n(Vf4\nI00\nI01\ntR(K\x03V<\nNNNK\0K\0K\0tbI00\nB";
    let start = [b"\x80\x03", array.as_bytes(), &(SIZE as u32).to_le_bytes()].concat();
    sparse(&start, b"tbs.");
}

/// What an index may say.
#[test]
fn an_index_that_lies_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors.index.json");
    for (text, why) in [
        ("", "not an index"),
        ("[]", "not an index"),
        (r#"{"weight_map": {}}"#, "an index of 0 shards"),
        (r#"{"weight_map": {"a": "/etc/passwd"}}"#, "not a file beside it"),
        (r#"{"weight_map": {"a": "../a.safetensors"}}"#, "not a file beside it"),
        (r#"{"weight_map": {"a": ".."}}"#, "not a file beside it"),
        (r#"{"weight_map": {"a": "model.safetensors.index.json"}}"#, "JSON, not weights"),
    ] {
        std::fs::write(&path, text).unwrap();
        let message = format!("{:#}", Archive::open(&path).err().unwrap());
        assert!(message.contains(why) && message.contains("index.json"), "{text}: {message}");
    }
}
