//! The Vision Transformer (2010.11929) and its successors.
//!
//! One network whose [`Config`] covers ViT, CLIP's and SigLIP's image towers (2103.00020, 2303.15343), DINOv2
//! (2304.07193, registers 2309.16588), DeiT with its distillation token (2012.12877), DeiT III (2204.07118), and hybrids
//! over a residual net. Keys are those of torchvision's or timm's `vision_transformer.py`; the stages are the embedding and every block, of shape
//! (N, tokens, channels).

mod block;
mod config;
mod embedding;
mod head;
mod names;

pub use config::{Backbone, Config, Pool, Position};
pub(super) use names::entries;

use super::Model;
use crate::nn::{self, Layer, Store};
use anyhow::Result;
use block::Block;
use embedding::Embedding;
use head::Head;
use tch::Tensor;

impl super::Config for Config {
    fn input(&self) -> [i64; 3] {
        [self.in_chans, self.image_size, self.image_size]
    }

    fn build(&self, store: &Store) -> Result<Box<dyn Model>> {
        self.validate()?;
        let root = store.root();
        let embedding = Embedding::new(&root, self)?;
        let block = |i| {
            let name = format!("{}{i}", self.names().block);
            Block::new(&(&root / &name), self, i).map(|block| (name, block))
        };
        let blocks = (0..self.num_blocks).map(block).collect::<Result<_>>()?;
        Ok(Box::new(VisionTransformer { embedding, blocks, head: Head::new(&root, self)? }))
    }

    fn renamed() -> &'static [(&'static str, &'static str)] {
        &[("width", "embed_dim"), ("depth", "num_blocks"), ("dropout", "block_dropout")]
    }
}

struct VisionTransformer {
    embedding: Embedding,
    blocks: Vec<(String, Block)>,
    head: Head,
}

impl Model for VisionTransformer {
    fn stages(&self) -> Vec<(&str, &dyn Layer)> {
        let blocks = self.blocks.iter().map(|(name, block)| (name.as_str(), block as &dyn Layer));
        std::iter::once(("embedding", &self.embedding as &dyn Layer)).chain(blocks).collect()
    }

    fn head(&self) -> &dyn nn::Head {
        &self.head
    }

    fn token_logits(&self, x: &Tensor, train: bool) -> Result<Option<[Tensor; 2]>> {
        let (first, distilled) = self.head.apart(x, train)?;
        Ok(distilled.map(|distilled| [first.logits, distilled.logits]))
    }
}
