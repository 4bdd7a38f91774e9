//! The colours of the themes, each in the three depths that terminals have.

use ratatui::style::Color;

/// One colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tone {
    /// Of the sixteen that the user chose.
    pub(super) sixteen: Color,
    /// Of the 256 of a fixed palette.
    pub(super) indexed: u8,
    /// Any.
    pub(super) rgb: [u8; 3],
}

/// Steps of a ramp.
pub(super) const STEPS: usize = 6;

/// All colours of a theme.
#[derive(Debug)]
pub(super) struct Palette {
    pub(super) accent: Tone,
    pub(super) dim: Tone,
    pub(super) graph: Tone,
    pub(super) warning: Tone,
    pub(super) error: Tone,
    /// From fast or few, which is quiet, to slow or many, which is loud.
    pub(super) ramp: [Tone; STEPS],
}

const fn tone(sixteen: Color, indexed: u8, rgb: u32) -> Tone {
    let [_, r, g, b] = rgb.to_be_bytes();
    Tone {
        sixteen,
        indexed,
        rgb: [r, g, b],
    }
}

/// The ramp is cividis, made for eyes of every kind: its lightness alone tells the order. It begins
/// where it can be told from black.
pub(super) const DARK: Palette = Palette {
    accent: tone(Color::Cyan, 80, 0x5f_d7_d7),
    dim: tone(Color::DarkGray, 245, 0x8a_8a_8a),
    graph: tone(Color::Cyan, 74, 0x6c_a8_d0),
    warning: tone(Color::Yellow, 214, 0xff_b0_3b),
    error: tone(Color::LightRed, 203, 0xff_6b_5e),
    ramp: [
        tone(Color::Blue, 61, 0x3b_55_88),
        tone(Color::Blue, 66, 0x57_68_7f),
        tone(Color::Cyan, 102, 0x7d_7c_78),
        tone(Color::Cyan, 144, 0xa5_94_70),
        tone(Color::Yellow, 179, 0xd3_b6_5a),
        tone(Color::LightYellow, 227, 0xfd_e7_37),
    ],
};

/// The same ramp the other way round, ending where it can be told from white.
pub(super) const LIGHT: Palette = Palette {
    accent: tone(Color::Blue, 25, 0x00_5f_af),
    dim: tone(Color::DarkGray, 242, 0x6c_6c_6c),
    graph: tone(Color::Blue, 31, 0x1f_78_b4),
    warning: tone(Color::Magenta, 130, 0x9a_4d_00),
    error: tone(Color::Red, 124, 0xb0_10_10),
    ramp: [
        tone(Color::Yellow, 179, 0xc9_a8_3c),
        tone(Color::Yellow, 137, 0xa6_90_58),
        tone(Color::Cyan, 101, 0x82_7c_66),
        tone(Color::Cyan, 60, 0x5d_67_78),
        tone(Color::Blue, 24, 0x2f_4b_7c),
        tone(Color::Black, 17, 0x00_1c_4a),
    ],
};
