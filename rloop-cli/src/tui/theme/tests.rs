use super::*;

/// What a channel of sRGB is in light, as WCAG 2 defines it.
fn linear(channel: u8) -> f64 {
    let share = f64::from(channel) / 255.0;
    if share <= 0.04045 {
        share / 12.92
    } else {
        ((share + 0.055) / 1.055).powf(2.4)
    }
}

fn luminance([r, g, b]: [u8; 3]) -> f64 {
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

/// Contrast of two colours, 1 to 21, as WCAG 2 defines it.
fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// A colour of the fixed part of the 256, as xterm defines it.
fn rgb_of(index: u8) -> [u8; 3] {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match index {
        232.. => [8 + 10 * (index - 232); 3],
        16.. => {
            let cube = usize::from(index - 16);
            [LEVELS[cube / 36], LEVELS[cube / 6 % 6], LEVELS[cube % 6]]
        }
        _ => panic!("{index} is the user's own colour"),
    }
}

/// The palettes, with the backgrounds they are for.
fn palettes() -> [(&'static Palette, [u8; 3]); 2] {
    [(&DARK, [0x1e, 0x1e, 0x1e]), (&LIGHT, [0xff, 0xff, 0xff])]
}

#[test]
fn words_can_be_read_on_their_background() {
    for (palette, background) in palettes() {
        let tones = [palette.accent, palette.dim, palette.warning, palette.error];
        for tone in tones {
            for rgb in [tone.rgb, rgb_of(tone.indexed)] {
                let contrast = contrast(rgb, background);
                assert!(contrast >= 4.5, "{rgb:?} on {background:?}: {contrast:.1}");
            }
        }
    }
}

/// An eye that cannot tell hues apart still sees lightness: it alone must give the order.
#[test]
fn the_ramp_needs_no_hue() {
    for (palette, background) in palettes() {
        for rgb in [|tone: &Tone| tone.rgb, |tone: &Tone| rgb_of(tone.indexed)] {
            let steps = palette.ramp.iter().map(rgb);
            let away: Vec<f64> = steps.map(|rgb| contrast(rgb, background)).collect();
            assert!(away[0] > 1.9, "{away:?}");
            assert!(
                away.windows(2).all(|pair| pair[1] > 1.05 * pair[0]),
                "{away:?}"
            );
        }
    }
}

#[test]
fn each_depth_uses_its_own_colours_only() {
    let fits = |depth, color| match depth {
        Depth::Mono => false,
        Depth::Sixteen => !matches!(color, Color::Rgb(..) | Color::Indexed(_)),
        Depth::Indexed => matches!(color, Color::Indexed(_)),
        Depth::True => matches!(color, Color::Rgb(..)),
    };
    for name in ThemeName::ALL {
        for depth in [Depth::Mono, Depth::Sixteen, Depth::Indexed, Depth::True] {
            let theme = Theme::new(name, depth, false);
            let mut styles = vec![theme.accent(), theme.dim(), theme.graph(), theme.warning()];
            styles.extend((0..=10).map(|tenth| theme.ramp(f64::from(tenth) / 10.0)));
            styles.push(theme.error());
            for style in styles {
                let color = style.fg.or(style.bg);
                if name == ThemeName::Mono || depth == Depth::Mono {
                    assert_eq!(color, None, "{}", theme.describe());
                } else {
                    assert!(
                        color.is_some_and(|color| fits(depth, color)),
                        "{}: {color:?}",
                        theme.describe()
                    );
                }
            }
        }
    }
}

#[test]
fn the_keys_go_through_all_of_them() {
    let first = Theme::new(ThemeName::Dark, Depth::True, false);
    let mut theme = first.clone();
    let mut seen = Vec::new();
    for _ in 0..3 {
        for _ in 0..4 {
            seen.push(theme.describe());
            theme = theme.next_depth();
        }
        theme = theme.next();
    }
    assert_eq!(theme.describe(), first.describe());
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 12);
}
