//! The dtypes of tensors and their names in each format.

use safetensors::tensor::Dtype as Code;
use tch::Kind;

/// One dtype and its names.
pub(super) struct Dtype {
    pub kind: Kind,
    /// PyTorch's name, as in `torch.float32`.
    pub name: &'static str,
    /// PyTorch's alias, as in `torch.float`.
    alias: &'static str,
    /// The storage class in `torch.save`; newer dtypes have none.
    storage: &'static str,
    pub safetensors: Option<Code>,
    /// NumPy's type character and size.
    numpy: &'static str,
}

const fn dtype(
    kind: Kind,
    [name, alias, storage, numpy]: [&'static str; 4],
    safetensors: Option<Code>,
) -> Dtype {
    Dtype { kind, name, alias, storage, safetensors, numpy }
}

const DTYPES: [Dtype; 17] = [
    dtype(Kind::Float, ["float32", "float", "FloatStorage", "f4"], Some(Code::F32)),
    dtype(Kind::Double, ["float64", "double", "DoubleStorage", "f8"], Some(Code::F64)),
    dtype(Kind::Half, ["float16", "half", "HalfStorage", "f2"], Some(Code::F16)),
    dtype(Kind::BFloat16, ["bfloat16", "", "BFloat16Storage", ""], Some(Code::BF16)),
    dtype(Kind::Int64, ["int64", "long", "LongStorage", "i8"], Some(Code::I64)),
    dtype(Kind::Int, ["int32", "int", "IntStorage", "i4"], Some(Code::I32)),
    dtype(Kind::Int16, ["int16", "short", "ShortStorage", "i2"], Some(Code::I16)),
    dtype(Kind::Int8, ["int8", "", "CharStorage", "i1"], Some(Code::I8)),
    dtype(Kind::Uint8, ["uint8", "", "ByteStorage", "u1"], Some(Code::U8)),
    dtype(Kind::Bool, ["bool", "", "BoolStorage", "b1"], Some(Code::BOOL)),
    dtype(Kind::ComplexHalf, ["complex32", "chalf", "", ""], None),
    dtype(Kind::ComplexFloat, ["complex64", "cfloat", "ComplexFloatStorage", "c8"], Some(Code::C64)),
    dtype(Kind::ComplexDouble, ["complex128", "cdouble", "ComplexDoubleStorage", "c16"], None),
    dtype(Kind::Float8e5m2, ["float8_e5m2", "", "", ""], Some(Code::F8_E5M2)),
    dtype(Kind::Float8e4m3fn, ["float8_e4m3fn", "", "", ""], Some(Code::F8_E4M3)),
    dtype(Kind::Float8e5m2fnuz, ["float8_e5m2fnuz", "", "", ""], Some(Code::F8_E5M2FNUZ)),
    dtype(Kind::Float8e4m3fnuz, ["float8_e4m3fnuz", "", "", ""], Some(Code::F8_E4M3FNUZ)),
];

fn find(has: impl Fn(&Dtype) -> bool) -> Option<&'static Dtype> {
    DTYPES.iter().find(|dtype| has(dtype))
}

/// PyTorch's name of a dtype.
pub fn dtype_name(kind: Kind) -> &'static str {
    find(|dtype| dtype.kind == kind).map_or("quantized", |dtype| dtype.name)
}

pub(super) fn of_kind(kind: Kind) -> Option<&'static Dtype> {
    find(|dtype| dtype.kind == kind)
}

pub(super) fn of_safetensors(code: Code) -> Option<&'static Dtype> {
    find(|dtype| dtype.safetensors == Some(code))
}

/// By the name after `torch.`: `float32`, `float`.
pub(super) fn of_torch(name: &str) -> Option<&'static Dtype> {
    find(|dtype| !name.is_empty() && (dtype.name == name || dtype.alias == name))
}

/// By the class after `torch.` or `torch.cuda.`: `FloatStorage`.
pub(super) fn of_storage(class: &str) -> Option<&'static Dtype> {
    find(|dtype| !class.is_empty() && dtype.storage == class)
}

/// By NumPy's type character and size, without the byte order: `f4`.
pub(super) fn of_numpy(code: &str) -> Option<&'static Dtype> {
    find(|dtype| !code.is_empty() && dtype.numpy == code)
}
