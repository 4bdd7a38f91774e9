//! Colours and glyphs. No other file names one.

use ratatui::style::{Color, Modifier, Style};

use crate::sample::State;

/// How many colours the terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// None: bold and reverse only.
    Mono,
    /// The sixteen that the user chose.
    Sixteen,
    /// 256, in a fixed palette.
    Indexed,
    /// Any.
    True,
}

/// Cividis, from fast to slow: its order survives colour blindness and grey scale.
const RAMP_TRUE: [Color; 6] = [
    Color::Rgb(0x1c, 0x3f, 0x70),
    Color::Rgb(0x4a, 0x5b, 0x70),
    Color::Rgb(0x78, 0x77, 0x77),
    Color::Rgb(0xa5, 0x94, 0x70),
    Color::Rgb(0xd3, 0xb6, 0x5a),
    Color::Rgb(0xfd, 0xe7, 0x37),
];
const RAMP_INDEXED: [Color; 6] = [
    Color::Indexed(24),
    Color::Indexed(60),
    Color::Indexed(102),
    Color::Indexed(144),
    Color::Indexed(179),
    Color::Indexed(227),
];
const RAMP_SIXTEEN: [Color; 6] = [
    Color::Blue,
    Color::Blue,
    Color::Cyan,
    Color::Cyan,
    Color::Yellow,
    Color::LightYellow,
];

const HEAT_UNICODE: [char; 6] = [' ', '░', '▒', '▓', '█', '█'];
const HEAT_ASCII: [char; 6] = [' ', '.', ':', '+', '*', '#'];
const SPARK_UNICODE: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SPARK_ASCII: [char; 8] = ['_', '_', '.', '.', ':', ':', '|', '#'];

/// What things look like.
#[derive(Clone, Debug)]
pub struct Theme {
    depth: Depth,
    ascii: bool,
}

impl Theme {
    /// For a terminal of that many colours; `ascii` where it can show nothing else.
    pub fn new(depth: Depth, ascii: bool) -> Self {
        Self { depth, ascii }
    }

    /// What the environment says the terminal can do. `wanted` overrules it.
    pub fn detect(wanted: Option<bool>, ascii: bool) -> Self {
        let depth = match wanted {
            Some(false) => Depth::Mono,
            None if anstyle_query::no_color() || !anstyle_query::term_supports_color() => {
                Depth::Mono
            }
            _ if anstyle_query::truecolor() => Depth::True,
            _ if anstyle_query::term_supports_ansi_color() && is_256() => Depth::Indexed,
            _ => Depth::Sixteen,
        };
        Self::new(depth, ascii || !is_utf8())
    }

    /// The next of the depths, for a terminal that says less, or more, than it can.
    pub fn next(&self) -> Self {
        let depth = match self.depth {
            Depth::Mono => Depth::Sixteen,
            Depth::Sixteen => Depth::Indexed,
            Depth::Indexed => Depth::True,
            Depth::True => Depth::Mono,
        };
        Self::new(depth, self.ascii)
    }

    fn coloured(&self, color: Color) -> Style {
        if self.depth == Depth::Mono {
            Style::new()
        } else {
            Style::new().fg(color)
        }
    }

    /// The program's name, the view in front, names.
    pub fn accent(&self) -> Style {
        self.coloured(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// Headings.
    pub fn heading(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is there for completeness.
    pub fn dim(&self) -> Style {
        self.coloured(Color::DarkGray)
    }

    /// What costs performance.
    pub fn warning(&self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// What costs data or makes numbers wrong.
    pub fn error(&self) -> Style {
        self.coloured(Color::LightRed)
            .add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }

    /// The selected row.
    pub fn selected(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A place on the ramp from fast (0) to slow (1).
    pub fn ramp(&self, place: f64) -> Style {
        let step = ((place.clamp(0.0, 1.0) * 5.0).round()) as usize;
        match self.depth {
            Depth::Mono if step >= 4 => Style::new().add_modifier(Modifier::BOLD),
            Depth::Mono => Style::new(),
            Depth::Sixteen => Style::new().fg(RAMP_SIXTEEN[step]),
            Depth::Indexed => Style::new().fg(RAMP_INDEXED[step]),
            Depth::True => Style::new().fg(RAMP_TRUE[step]),
        }
    }

    /// A cell of a heat map; anything above 0 is visible.
    pub fn heat(&self, share: f64) -> char {
        let step = if share <= 0.0 {
            0
        } else {
            1 + (share.clamp(0.0, 1.0) * 4.0).round() as usize
        };
        if self.ascii {
            HEAT_ASCII[step]
        } else {
            HEAT_UNICODE[step]
        }
    }

    /// A column of a sparkline.
    pub fn spark(&self, share: f64) -> char {
        let step = (share.clamp(0.0, 1.0) * 7.0).round() as usize;
        if self.ascii {
            SPARK_ASCII[step]
        } else {
            SPARK_UNICODE[step]
        }
    }

    /// A stretch of a file, by what lies there.
    pub fn extent(&self, state: State) -> char {
        match (state, self.ascii) {
            (State::Written, false) => '█',
            (State::Unwritten, false) => '▒',
            (State::Hole, false) => '·',
            (State::Written, true) => '#',
            (State::Unwritten, true) => 'u',
            (State::Hole, true) => '.',
        }
    }

    /// A stretch of a file that gets data.
    pub fn filling(&self) -> char {
        if self.ascii { '+' } else { '▓' }
    }

    /// A part of a bar, by its number.
    pub fn bar(&self, part: usize) -> char {
        let glyphs = if self.ascii {
            ['q', 'w', 'f', 'd']
        } else {
            ['░', '▒', '▓', '█']
        };
        glyphs[part % glyphs.len()]
    }

    /// A horizontal line.
    pub fn rule(&self) -> char {
        if self.ascii { '-' } else { '─' }
    }
}

fn is_256() -> bool {
    std::env::var("TERM").is_ok_and(|term| term.contains("256"))
}

/// The locale's encoding, as C programs find it.
fn is_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty());
    // Without any locale most terminals of today show UTF-8 all the same.
    locale.is_none_or(|locale| {
        locale.to_ascii_lowercase().contains("utf") || locale == "C" || locale == "POSIX"
    })
}
