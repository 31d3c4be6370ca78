//! Colour scales for maps.

use crate::Usage;
use std::fmt;
use std::str::FromStr;

/// A scale of colours from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// Blue, cyan, yellow, red: what most tools show.
    #[default]
    Jet,
    /// Evenly brighter, also for colour-blind readers.
    Viridis,
    Inferno,
    Turbo,
    Grey,
}

/// Points of a scale at equal distances, between which it is straight.
const JET: [[u8; 3]; 9] = [
    [0, 0, 128],
    [0, 0, 255],
    [0, 128, 255],
    [0, 255, 255],
    [128, 255, 128],
    [255, 255, 0],
    [255, 128, 0],
    [255, 0, 0],
    [128, 0, 0],
];
const VIRIDIS: [[u8; 3]; 9] = [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];
const INFERNO: [[u8; 3]; 9] = [
    [0, 0, 4],
    [31, 12, 72],
    [85, 15, 109],
    [136, 34, 106],
    [186, 54, 85],
    [227, 89, 51],
    [249, 140, 10],
    [249, 201, 50],
    [252, 255, 164],
];
const TURBO: [[u8; 3]; 9] = [
    [48, 18, 59],
    [70, 107, 227],
    [40, 187, 236],
    [49, 242, 153],
    [162, 252, 60],
    [237, 208, 58],
    [251, 128, 34],
    [210, 49, 5],
    [122, 4, 3],
];
const GREY: [[u8; 3]; 2] = [[0, 0, 0], [255, 255, 255]];

impl Colours {
    pub const ALL: [Self; 5] = [Self::Jet, Self::Viridis, Self::Inferno, Self::Turbo, Self::Grey];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jet => "jet",
            Self::Viridis => "viridis",
            Self::Inferno => "inferno",
            Self::Turbo => "turbo",
            Self::Grey => "grey",
        }
    }

    /// The colour of a value from 0 to 1, in red, green and blue.
    pub fn at(self, value: f32) -> [u8; 3] {
        let points: &[[u8; 3]] = match self {
            Self::Jet => &JET,
            Self::Viridis => &VIRIDIS,
            Self::Inferno => &INFERNO,
            Self::Turbo => &TURBO,
            Self::Grey => &GREY,
        };
        let place = value.clamp(0.0, 1.0) * (points.len() - 1) as f32;
        let first = (place as usize).min(points.len() - 2);
        let share = place - first as f32;
        std::array::from_fn(|i| {
            let [a, b] = [points[first][i], points[first + 1][i]].map(f32::from);
            (a + share * (b - a)).round() as u8
        })
    }
}

impl fmt::Display for Colours {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Colours {
    type Err = Usage;

    fn from_str(text: &str) -> Result<Self, Usage> {
        let names = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|colours| colours.name() == text);
        found.ok_or_else(|| Usage(format!("no colours are called `{text}`; there are {names}")))
    }
}
