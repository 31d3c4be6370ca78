//! 2-d convolution.

use super::activation::Activation;
use super::frozen::{Frozen, Kernel};
use super::init::{Init, fan_in_bound};
use super::norm::BatchNorm2d;
use super::store::{Path, Store};
use super::switch::On;
use super::{Layer, cost, observe};
use crate::torch::{self, SharedTensor, Window};
use anyhow::{Result, bail, ensure};
use tch::{Device, Kind, Tensor};

/// `channels` to the nearest multiple of `divisor`, at least one of it, and one more where rounding down would leave
/// less than `limit` of them: 0.9 in the papers' code.
pub fn make_divisible(channels: f64, divisor: i64, limit: f64) -> i64 {
    let divisor = divisor.max(1);
    let rounded = ((channels + divisor as f64 / 2.0) as i64 / divisor * divisor).max(divisor);
    if (rounded as f64) < limit * channels { rounded + divisor } else { rounded }
}

/// How an image is padded before a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Padding {
    /// The same number of zeros above and below, and left and right.
    Fixed([i64; 2]),
    /// TensorFlow's SAME: enough zeros for ⌈size/stride⌉ outputs at any size, an odd one at the bottom or right.
    TfSame,
}

/// The description of a convolution: `Conv::new(64, 128, 3).stride(2).padding(1)`, with `torch.nn.Conv2d`'s defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv {
    in_channels: i64,
    out_channels: i64,
    kernel: [i64; 2],
    stride: [i64; 2],
    padding: Padding,
    dilation: [i64; 2],
    groups: i64,
    bias: Bias,
    init: Init,
    standardise: Option<f64>,
}

/// Whether a convolution has a bias, and how it is initialised.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bias {
    None,
    /// U(±1/√fan_in), as in `torch.nn`.
    FanIn,
    Constant(f64),
}

impl Conv {
    /// A square kernel, stride 1, no padding, one group, with bias.
    pub fn new(in_channels: i64, out_channels: i64, kernel: i64) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: Padding::Fixed([0; 2]),
            dilation: [1; 2],
            groups: 1,
            bias: Bias::FanIn,
            init: Init::FanIn,
            standardise: None,
        }
    }

    pub fn in_channels(&self) -> i64 {
        self.in_channels
    }

    pub fn out_channels(&self) -> i64 {
        self.out_channels
    }

    /// The initialisation of the weight.
    pub(super) fn initial(&self) -> Init {
        self.init
    }

    /// The shape of the weight: (out, in/groups, kh, kw).
    pub(super) fn weight_size(&self) -> [i64; 4] {
        let [kh, kw] = self.kernel;
        [self.out_channels, self.in_channels / self.groups.max(1), kh, kw]
    }

    /// Kernel height and width.
    pub fn kernel(self, kernel: [i64; 2]) -> Self {
        Self { kernel, ..self }
    }

    pub fn stride(self, stride: i64) -> Self {
        Self { stride: [stride; 2], ..self }
    }

    /// A stride equal to the kernel: patches that do not overlap.
    pub fn patches(self) -> Self {
        Self { stride: self.kernel, ..self }
    }

    pub fn padding(self, padding: i64) -> Self {
        Self { padding: Padding::Fixed([padding; 2]), ..self }
    }

    /// Padding that keeps the size at stride 1, for odd kernels.
    pub fn same(self) -> Self {
        let [h, w] = std::array::from_fn(|i| self.dilation[i] * (self.kernel[i] - 1) / 2);
        Self { padding: Padding::Fixed([h, w]), ..self }
    }

    /// TensorFlow's SAME padding: ⌈size/stride⌉ outputs per side.
    pub fn tf_same(self) -> Self {
        Self { padding: Padding::TfSame, ..self }
    }

    pub fn dilation(self, dilation: i64) -> Self {
        Self { dilation: [dilation; 2], ..self }
    }

    /// Cardinality: each output channel sees `in_channels / groups` input channels.
    pub fn groups(self, groups: i64) -> Self {
        Self { groups, ..self }
    }

    pub fn no_bias(self) -> Self {
        Self { bias: Bias::None, ..self }
    }

    /// With a bias initialised to 0.
    pub fn zero_bias(self) -> Self {
        self.bias(0.0)
    }

    /// With a bias initialised to `value`.
    pub fn bias(self, value: f64) -> Self {
        Self { bias: Bias::Constant(value), ..self }
    }

    /// Sets the initialisation of the weight; the bias keeps its default.
    pub fn init(self, init: Init) -> Self {
        Self { init, ..self }
    }

    /// With the weights of each output channel standardised to mean 0 and standard deviation 1 in every pass
    /// (1903.10520); `eps` is added to their variance.
    pub fn standardise(self, eps: f64) -> Self {
        Self { standardise: Some(eps), ..self }
    }

    /// A weight initialised from N(0, 2/fan_out) with the fan counted within a group, as in TensorFlow's mobile nets.
    /// To be called once channels, kernel and groups are final.
    pub fn init_fan_out_of_group(self) -> Self {
        let [out, _, kh, kw] = self.weight_size();
        let fan_out = (out * kh * kw) as f64 / self.groups as f64;
        self.init(Init::Normal((2.0 / fan_out).sqrt()))
    }

    /// Height (0) or width (1) of the dilated kernel.
    fn field(&self, i: usize) -> i64 {
        self.dilation[i] * (self.kernel[i] - 1) + 1
    }

    /// Zeros before and after the rows (0) or columns (1) of an image of `size`.
    fn zeros(&self, i: usize, size: i64) -> [i64; 2] {
        match self.padding {
            Padding::Fixed(padding) => [padding[i]; 2],
            Padding::TfSame => {
                let last = (size - 1) / self.stride[i] * self.stride[i];
                let zeros = (last + self.field(i) - size).max(0);
                [zeros / 2, zeros - zeros / 2]
            }
        }
    }

    /// The output shape for `input`: libtorch's C++ API cannot compute it on the meta device.
    pub(super) fn output_size(&self, input: &[i64]) -> Result<[i64; 4]> {
        let &[n, c, h, w] = input else { bail!("a convolution takes (N, C, H, W), not {input:?}") };
        ensure!(c == self.in_channels, "a convolution of {} channels does not take {c}", self.in_channels);
        let side = |i: usize, size: i64| {
            let room = size + self.zeros(i, size).iter().sum::<i64>() - self.field(i);
            ensure!(room >= 0, "a kernel of {} does not fit into {h}×{w}", self.kernel[i]);
            Ok(room / self.stride[i] + 1)
        };
        Ok([n, self.out_channels, side(0, h)?, side(1, w)?])
    }

    /// Convolves with `weight` without counting the cost; `samples` images lie side by side in the channels of `x`,
    /// each with its own kernels.
    pub(super) fn apply(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        samples: i64,
    ) -> Result<Tensor> {
        let (x, padding) = self.pad(x)?;
        let Window { padding, stride, dilation, groups } = self.window(padding);
        Ok(x.f_conv2d(weight, bias, stride, padding, dilation, samples * groups)?)
    }

    /// `x` with the padding that the kernel cannot do itself, and the padding that is left to it.
    fn pad(&self, x: &Tensor) -> Result<(Tensor, [i64; 2])> {
        let (_, _, h, w) = x.size4()?;
        let ([top, bottom], [left, right]) = (self.zeros(0, h), self.zeros(1, w));
        Ok(if (top, left) == (bottom, right) {
            (x.shallow_clone(), [top, left])
        } else {
            (x.f_constant_pad_nd([left, right, top, bottom])?, [0; 2])
        })
    }

    fn window(&self, padding: [i64; 2]) -> Window {
        Window { padding, stride: self.stride, dilation: self.dilation, groups: self.groups }
    }
}

/// `torch.nn.Conv2d`: (N, C, H, W) to (N, out_channels, H′, W′). Keys `weight` (out, in/groups, kh, kw) and `bias`.
pub struct Conv2d {
    spec: Conv,
    weight: SharedTensor,
    bias: Option<SharedTensor>,
    frozen: Frozen<[i64; 4], Kernel>,
}

/// What follows a convolution: activation(norm(…) + residual).
#[derive(Default)]
pub(super) struct After<'a> {
    pub norm: Option<&'a BatchNorm2d>,
    pub residual: Option<&'a Tensor>,
    pub activation: Activation,
}

impl Conv2d {
    /// # Errors
    /// Channels that the groups do not divide, or a size or stride that is not positive.
    pub fn new(path: &Path, spec: Conv) -> Result<Self> {
        let Conv { in_channels, out_channels, kernel, stride, dilation, groups, .. } = spec;
        let sizes = [&[in_channels, out_channels, groups][..], &kernel, &stride, &dilation].concat();
        ensure!(
            sizes.iter().all(|&n| n > 0),
            "convolution of {in_channels} to {out_channels} channels, kernel {kernel:?}, stride {stride:?}, \
             {groups} groups: every number must be positive"
        );
        ensure!(
            in_channels % groups == 0 && out_channels % groups == 0,
            "convolution of {in_channels} to {out_channels} channels: {groups} groups do not divide both"
        );
        let size = spec.weight_size();
        let weight = path.parameter("weight", &size, spec.init)?;
        let bound = fan_in_bound(size[1..].iter().product::<i64>() as f64);
        let bias = match spec.bias {
            Bias::None => None,
            Bias::FanIn => Some(Init::Uniform(bound)),
            Bias::Constant(value) => Some(Init::Constant(value)),
        };
        let bias = bias.map(|init| path.parameter("bias", &[out_channels], init)).transpose()?;
        Ok(Self { spec, weight, bias, frozen: Frozen::new(path.switch()) })
    }

    /// The weights that a pass uses.
    fn weight(&self) -> Result<Tensor> {
        let Some(eps) = self.spec.standardise else { return Ok(self.weight.shallow_clone()) };
        let none = None::<&Tensor>;
        let channels = self.weight.f_reshape([1, self.spec.out_channels, -1])?;
        let standard = channels.f_batch_norm(none, none, none, none, true, 0.0, eps, true)?;
        Ok(standard.f_reshape(self.weight.size())?)
    }

    /// The weight as it is trained.
    pub(super) fn parameter(&self) -> &Tensor {
        &self.weight
    }

    /// A 1×1 convolution as a matrix product over the channels: weight (in, out) and bias.
    pub(super) fn transposed(&self) -> Result<(Tensor, Option<Tensor>)> {
        let weight = self.weight()?.f_detach()?.f_flatten(1, 3)?.f_transpose(0, 1)?.f_contiguous()?;
        Ok((weight, self.bias.as_deref().map(Tensor::detach)))
    }

    /// Whether a training pass runs as a matrix product: oneDNN's AVX2 kernel for the weight gradient of 1×1
    /// convolutions in channels_last order writes past the end of its buffer where the channels are not a multiple of
    /// 8.
    fn is_product(&self, x: &Tensor, train: bool) -> bool {
        let Conv { in_channels, out_channels, kernel, padding, groups, .. } = self.spec;
        let odd = in_channels % 8 != 0 || out_channels % 8 != 0;
        let unpadded = matches!(padding, Padding::TfSame | Padding::Fixed([0, 0]));
        train && odd && kernel == [1; 2] && unpadded && groups == 1 && x.device() == Device::Cpu
    }

    /// The 1×1 convolution as a matrix product over the channels of every pixel.
    fn product(&self, x: &Tensor) -> Result<Tensor> {
        let Conv { in_channels, out_channels, stride: [down, right], .. } = self.spec;
        let x = x.f_slice(2, None, None, down)?.f_slice(3, None, None, right)?;
        let weight = self.weight()?.f_reshape([out_channels, in_channels])?;
        let y = x.f_permute([0, 2, 3, 1])?.f_linear(&weight, self.bias.as_deref())?;
        Ok(y.f_permute([0, 3, 1, 2])?)
    }
}

impl Conv2d {
    /// `activation(conv(x))`: one call in a model optimised for inference (frozen).
    ///
    /// # Errors
    /// As [`Layer::forward`].
    pub fn forward_act(&self, x: &Tensor, activation: Activation, train: bool) -> Result<Tensor> {
        self.run(x, After { activation, ..After::default() }, train)
    }

    pub(super) fn run(&self, x: &Tensor, after: After<'_>, train: bool) -> Result<Tensor> {
        if let Some(on) = self.frozen.on().filter(|_| !train) {
            let y = self.run_frozen(on, x, &after)?;
            self.record(y.numel());
            return Ok(y);
        }
        let y = match (torch::is_meta(x)?, self.is_product(x, train)) {
            (true, _) => torch::empty_meta(&self.spec.output_size(&x.size())?, x.kind())?,
            (_, true) => self.product(x)?,
            _ => self.spec.apply(x, &self.weight()?, self.bias.as_deref(), 1)?,
        };
        self.record(y.numel());
        let y = observe::weighted(&self.weight, y, false)?;
        match after.norm {
            Some(norm) => norm.forward_act(&y, after.residual, after.activation, train),
            None => after.activation.forward_add(y, after.residual),
        }
    }

    /// Counts the cost of that many outputs.
    pub(super) fn record(&self, outputs: usize) {
        let outputs = outputs as i64;
        cost::record(outputs * (self.weight.numel() as i64 / self.spec.out_channels), outputs);
    }

    /// The convolution and what follows it in one call to the kernel of a frozen model.
    fn run_frozen(&self, on: On, x: &Tensor, after: &After<'_>) -> Result<Tensor> {
        let (x, padding) = self.spec.pad(x)?;
        let (n, c, h, w) = x.size4()?;
        let wanted = self.spec.in_channels;
        ensure!(c == wanted, "a convolution of {wanted} channels was given {c}: {:?}", x.size());
        let (window, input) = (self.spec.window(padding), [n, c, h, w]);
        let kernel = self.frozen.get(on, &self.weight, input, |kind| {
            let kernel = self.fold(after.norm, kind, window, input)?;
            if kernel.is_packed() {
                self.frozen.packed(&self.weight);
            }
            Ok(kernel)
        })?;
        kernel.convolve(&x, window, after.residual, after.activation)
    }

    /// The kernel with the norm folded in: its scale in the weights, its shift in the bias.
    fn fold(
        &self,
        norm: Option<&BatchNorm2d>,
        kind: Kind,
        window: Window,
        input: [i64; 4],
    ) -> Result<Kernel> {
        let _no_grad = tch::no_grad_guard();
        let weight = self.weight()?;
        let Some(norm) = norm else {
            return Kernel::convolution(&weight, self.bias.as_deref(), kind, window, input);
        };
        let (scale, mut shift) = norm.affine()?;
        if let Some(bias) = &self.bias {
            shift = shift.f_add(&bias.f_to_kind(Kind::Double)?.f_mul(&scale)?)?;
        }
        let weight = weight.f_to_kind(Kind::Double)?.f_mul(&scale.f_reshape([-1, 1, 1, 1])?)?;
        Kernel::convolution(&weight, Some(&shift), kind, window, input)
    }
}

/// The key and the filters (N, C, h, w) of a model's first convolution, on the CPU: of one tower after the other where
/// there are two. `None` without a convolution.
///
/// # Errors
/// None but libtorch's.
pub fn first_filters(store: &Store) -> Result<Option<(String, Tensor)>> {
    let within_tower = |key: &str| {
        let rest = key.strip_prefix("towers.").and_then(|rest| rest.split_once('.'));
        rest.map_or_else(|| key.to_owned(), |(_, rest)| rest.to_owned())
    };
    let parameters = store.parameters();
    let Some((first, _)) = parameters.iter().find(|(_, parameter)| parameter.dim() == 4) else {
        return Ok(None);
    };
    let towers = parameters.iter().filter(|(key, _)| within_tower(key) == within_tower(first));
    let towers = towers.map(|(_, filters)| filters.f_detach()?.f_to_device(tch::Device::Cpu));
    let filters = Tensor::f_cat(&towers.collect::<Result<Vec<_>, _>>()?, 0)?;
    Ok(Some((first.clone(), filters)))
}

impl Layer for Conv2d {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.run(x, After::default(), train)
    }
}
