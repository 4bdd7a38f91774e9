//! Colours and glyphs. No other file names one.

mod palette;

use ratatui::style::{Color, Modifier, Style};

use self::palette::{DARK, LIGHT, Palette, STEPS, Tone};
use crate::sample::State;

/// A set of colours, as the command line names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ThemeName {
    /// For a dark background.
    #[default]
    Dark,
    /// For a light background.
    Light,
    /// No colours: bold and reverse only.
    Mono,
}

impl ThemeName {
    /// All of them, in the order in which the key goes through them.
    pub const ALL: [Self; 3] = [Self::Dark, Self::Light, Self::Mono];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Mono => "mono",
        }
    }

    fn palette(self) -> Option<&'static Palette> {
        match self {
            Self::Dark => Some(&DARK),
            Self::Light => Some(&LIGHT),
            Self::Mono => None,
        }
    }
}

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

impl Depth {
    /// What the environment says the terminal can do. `wanted` overrules it.
    fn detect(wanted: Option<bool>) -> Self {
        match wanted {
            Some(false) => Self::Mono,
            None if anstyle_query::no_color() || !anstyle_query::term_supports_color() => {
                Self::Mono
            }
            _ if anstyle_query::truecolor() => Self::True,
            _ if anstyle_query::term_supports_ansi_color() && is_256() => Self::Indexed,
            _ => Self::Sixteen,
        }
    }

    /// As in the help.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mono => "no colours",
            Self::Sixteen => "16 colours",
            Self::Indexed => "256 colours",
            Self::True => "true colour",
        }
    }
}

const HEAT_UNICODE: [char; 6] = [' ', '░', '▒', '▓', '█', '█'];
const HEAT_ASCII: [char; 6] = [' ', '.', ':', '+', '*', '#'];
const SPARK_UNICODE: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SPARK_ASCII: [char; 8] = ['_', '.', '.', ':', ':', '|', '|', '#'];

/// What things look like.
#[derive(Clone, Debug)]
pub struct Theme {
    name: ThemeName,
    depth: Depth,
    ascii: bool,
}

impl Theme {
    /// Of that name, for a terminal of that many colours; `ascii` where it can show nothing else.
    pub fn new(name: ThemeName, depth: Depth, ascii: bool) -> Self {
        Self { name, depth, ascii }
    }

    /// As asked for, and for the rest what the environment says the terminal can do.
    pub fn detect(name: Option<ThemeName>, color: Option<bool>, ascii: bool) -> Self {
        let name = name.unwrap_or(if is_light() {
            ThemeName::Light
        } else {
            ThemeName::Dark
        });
        Self::new(name, Depth::detect(color), ascii || !is_utf8())
    }

    /// The next of the themes.
    pub fn next(&self) -> Self {
        let all = ThemeName::ALL;
        let place = all.iter().position(|name| *name == self.name).unwrap_or(0);
        Self {
            name: all[(place + 1) % all.len()],
            ..self.clone()
        }
    }

    /// The next of the depths, for a terminal that says less, or more, than it can.
    pub fn next_depth(&self) -> Self {
        let depth = match self.depth {
            Depth::Mono => Depth::Sixteen,
            Depth::Sixteen => Depth::Indexed,
            Depth::Indexed => Depth::True,
            Depth::True => Depth::Mono,
        };
        Self {
            depth,
            ..self.clone()
        }
    }

    /// In words: its name and how many colours it uses.
    pub fn describe(&self) -> String {
        format!("{}, {}", self.name.name(), self.depth.name())
    }

    /// A colour, where there are any.
    fn color(&self, tone: impl Fn(&Palette) -> Tone) -> Option<Color> {
        let tone = tone(self.name.palette()?);
        match self.depth {
            Depth::Mono => None,
            Depth::Sixteen => Some(tone.sixteen),
            Depth::Indexed => Some(Color::Indexed(tone.indexed)),
            Depth::True => {
                let [r, g, b] = tone.rgb;
                Some(Color::Rgb(r, g, b))
            }
        }
    }

    fn coloured(&self, tone: impl Fn(&Palette) -> Tone) -> Style {
        let color = self.color(tone);
        color.map_or_else(Style::new, |color| Style::new().fg(color))
    }

    /// The program's name, the view in front, names.
    pub fn accent(&self) -> Style {
        self.coloured(|palette| palette.accent)
            .add_modifier(Modifier::BOLD)
    }

    /// Headings.
    pub fn heading(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is there for completeness.
    pub fn dim(&self) -> Style {
        self.coloured(|palette| palette.dim)
    }

    /// Values over time.
    pub fn graph(&self) -> Style {
        self.coloured(|palette| palette.graph)
    }

    /// What costs performance.
    pub fn warning(&self) -> Style {
        self.coloured(|palette| palette.warning)
            .add_modifier(Modifier::BOLD)
    }

    /// What costs data or makes numbers wrong.
    pub fn error(&self) -> Style {
        self.coloured(|palette| palette.error)
            .add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }

    /// The selected row.
    pub fn selected(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A place on the ramp from fast or few (0) to slow or many (1).
    pub fn ramp(&self, place: f64) -> Style {
        let last = STEPS - 1;
        let step = (place.clamp(0.0, 1.0) * last as f64).round() as usize;
        match self.color(|palette| palette.ramp[step]) {
            Some(color) => Style::new().fg(color),
            None if step + 1 >= last => Style::new().add_modifier(Modifier::BOLD),
            None => Style::new(),
        }
    }

    /// How many steps [`ramp`](Self::ramp) has.
    pub const RAMP_STEPS: usize = STEPS;

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

    /// A cell of a column that goes on for so many eighths of a line from the cell's bottom.
    pub fn column(&self, eighths: usize) -> char {
        let columns = if self.ascii {
            SPARK_ASCII
        } else {
            SPARK_UNICODE
        };
        match eighths.min(columns.len()) {
            0 => ' ',
            filled => columns[filled - 1],
        }
    }

    /// A stretch of a file, by what lies there.
    pub fn extent(&self, state: State) -> char {
        match (state, self.ascii) {
            (State::Written | State::Filled, false) => '█',
            (State::Unwritten | State::Filling, false) => '▒',
            (State::Hole | State::Absent, false) => '·',
            (State::Written | State::Filled, true) => '#',
            (State::Unwritten | State::Filling, true) => 'u',
            (State::Hole | State::Absent, true) => '.',
        }
    }

    /// A cell of a stretch of a file of which so many eighths are written.
    pub fn part(&self, eighths: usize) -> char {
        if self.ascii {
            self.extent(State::Written)
        } else {
            self.column(eighths)
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

/// Some terminals tell their colours, `foreground;background` by number: 7 and 15 are the white ones.
fn is_light() -> bool {
    std::env::var("COLORFGBG").is_ok_and(|colors| {
        let background = colors.rsplit(';').next();
        matches!(background, Some("7" | "15"))
    })
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

#[cfg(test)]
mod tests;
