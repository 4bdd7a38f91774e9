//! What the user is looking at.

use std::sync::Arc;

use super::{
    bindings::Action,
    order::Order,
    theme::Theme,
    trail::{Page, Scope, Trail},
    widget::extent_strip::Strip,
};
use crate::{
    history::History,
    model::{DeviceFrame, ExtentFrame, Frame},
};

/// The views, in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// All devices.
    Overview,
    /// The file of one device.
    Extents,
    /// How long its requests take, and where.
    Latency,
    /// Its holes and the commits.
    Holes,
    /// Page cache and direct I/O.
    Cache,
    /// What is wrong.
    Findings,
    /// Single requests, and what belongs to each.
    Chain,
}

impl View {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Overview,
        Self::Extents,
        Self::Latency,
        Self::Holes,
        Self::Cache,
        Self::Findings,
        Self::Chain,
    ];

    /// As in the tabs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Extents => "Extents",
            Self::Latency => "Latency",
            Self::Holes => "Holes",
            Self::Cache => "Cache",
            Self::Findings => "Findings",
            Self::Chain => "Chain",
        }
    }
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The order of names, or of the file.
    Place,
    /// Requests.
    Requests,
    /// The slowest first.
    P99,
}

impl Sort {
    /// As in the footer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::Requests => "requests",
            Self::P99 => "p99",
        }
    }
}

/// Everything that keys change.
pub struct App {
    /// Frames and the place in time.
    pub history: History,
    /// The view in front.
    pub view: View,
    /// The keys are shown on top.
    pub help: bool,
    /// Order of rows.
    pub sort: Sort,
    /// The other way round.
    pub reverse: bool,
    /// Only devices whose name or file contains it.
    pub filter: String,
    /// The filter is being typed.
    pub typing: bool,
    /// Colours and glyphs.
    pub theme: Theme,
    /// Frames come from a recording.
    pub replay: bool,
    /// Why no more frames come.
    pub ended: Option<String>,
    /// The selected row of the table of extents.
    pub row: usize,
    /// Lines of the findings above the screen.
    pub scrolled: u16,
    /// The order of the extents' rows.
    pub order: Order,
    /// What is open of the chains.
    pub trail: Trail,
    /// Draws files.
    pub strip: Strip,
    /// Name of the selected device.
    selected: Option<String>,
    /// Name and instance of the device in front.
    front: Option<(String, u64)>,
}

impl App {
    /// The first view, following the newest frame.
    pub fn new(theme: Theme, replay: bool) -> Self {
        Self {
            history: History::default(),
            view: View::Overview,
            help: false,
            sort: Sort::Place,
            reverse: false,
            filter: String::new(),
            typing: false,
            theme,
            replay,
            ended: None,
            row: 0,
            scrolled: 0,
            order: Order::default(),
            trail: Trail::default(),
            strip: Strip::default(),
            selected: None,
            front: None,
        }
    }

    /// Adds a frame.
    pub fn push(&mut self, frame: Arc<Frame>) {
        self.history.push(frame);
        self.follow();
    }

    /// To be called whenever another device may have come to the front.
    pub fn follow(&mut self) {
        let frame = self.history.current().cloned();
        let shown = frame
            .as_ref()
            .and_then(|frame| Some((frame, self.device(frame)?)));
        let front = shown.map(|(_, device)| (device.name.clone(), device.instance));
        if front != self.front {
            self.trail.reset();
        }
        if let Some((frame, device)) = shown {
            self.trail.see(frame, device);
        }
        self.front = front;
        // What is open stays in front, whatever the order of the devices becomes.
        if let (true, Some((name, _))) = (self.trail.is_open(), &self.front) {
            self.selected = Some(name.clone());
        }
    }

    /// The device as it was when it had the request that is open: it does not keep them for ever.
    pub fn seen<'a>(&'a self, device: &'a DeviceFrame) -> &'a DeviceFrame {
        let seen = self.trail.seen().and_then(|frame| self.device(frame));
        seen.unwrap_or(device)
    }

    /// Whether an action does anything where the user is.
    pub fn serves(&self, action: Action) -> bool {
        let chain = self.view == View::Chain;
        match action {
            Action::Operation => chain && matches!(self.trail.page(), Page::Requests(_)),
            // The lists of the chains have an order of their own.
            Action::Sort => !chain,
            _ => true,
        }
    }

    /// Does what the user wants; quitting is the caller's.
    pub fn update(&mut self, action: Action) {
        if !self.serves(action) {
            return;
        }
        match action {
            Action::Quit | Action::Interrupt | Action::Suspend => {}
            Action::Help => self.help = !self.help,
            Action::Close if self.help => self.help = false,
            Action::Close if self.view == View::Chain && self.trail.is_open() => {
                if let Some(view) = self.trail.back() {
                    self.view = view;
                }
            }
            Action::Close => self.filter.clear(),
            Action::View(number) => self.view = View::ALL[number % View::ALL.len()],
            Action::Turn(by) => {
                let place = self.view as isize + by;
                self.view = View::ALL[place.rem_euclid(View::ALL.len() as isize) as usize];
            }
            Action::Move(by) if self.view == View::Extents => self.scroll(by),
            Action::Move(by) if self.view == View::Findings => self.scroll_findings(by),
            Action::Move(by) if self.view == View::Chain => self.step(by),
            Action::Move(by) | Action::Device(by) => self.select(by),
            Action::Open => self.open(),
            Action::Operation => self.next_operation(),
            Action::Sort => {
                self.sort = match self.sort {
                    Sort::Place => Sort::Requests,
                    Sort::Requests => Sort::P99,
                    Sort::P99 => Sort::Place,
                }
            }
            Action::Reverse => self.reverse = !self.reverse,
            Action::Filter => self.typing = true,
            Action::Pause => self.history.toggle_pause(),
            Action::Step(frames) => self.history.step(frames),
            Action::Live => self.history.go_live(),
            Action::Theme => self.theme = self.theme.next(),
            Action::Depth => self.theme = self.theme.next_depth(),
        }
        self.follow();
    }

    fn scroll(&mut self, by: isize) {
        let frame = self.history.current().cloned();
        let device = frame.as_ref().and_then(|frame| self.device(frame));
        let last = device.map_or(0, |device| device.touched.len().saturating_sub(1));
        self.row = self.row.min(last).saturating_add_signed(by).min(last);
    }

    /// Selects another row of the page of the chains.
    fn step(&mut self, by: isize) {
        let frame = self.history.current().cloned();
        if let Some(device) = frame.as_ref().and_then(|frame| self.device(frame)) {
            self.trail.step(by, device, self.reverse);
        }
    }

    /// Keeps only the next operation in the list of requests.
    fn next_operation(&mut self) {
        let frame = self.history.current().cloned();
        if let Some(device) = frame.as_ref().and_then(|frame| self.device(frame)) {
            self.trail.next_operation(device);
        }
    }

    /// Opens what is selected: from a view of one device, its chains.
    fn open(&mut self) {
        let seen = self.trail.seen().filter(|_| self.view == View::Chain);
        let frame = seen.or(self.history.current()).cloned();
        let Some(frame) = frame.as_ref() else { return };
        let Some(device) = self.device(frame) else {
            return;
        };
        let page = match self.view {
            View::Chain => return self.trail.open(device, self.reverse),
            View::Extents => self
                .touched(frame, device, self.row)
                .map(|extent| Page::Requests(Scope::Extent(extent.start_bytes, extent.len_bytes))),
            View::Latency => Some(Page::Requests(Scope::Device)),
            View::Holes => Some(Page::Commits),
            View::Overview | View::Cache | View::Findings => {
                self.view = View::Extents;
                return;
            }
        };
        if let Some(page) = page {
            self.trail.begin(page, self.view);
            self.view = View::Chain;
        }
    }

    /// The extent in a row of the table of extents; of the last row, where there are not so many.
    pub fn touched<'a>(
        &self,
        frame: &Arc<Frame>,
        device: &'a DeviceFrame,
        row: usize,
    ) -> Option<&'a ExtentFrame> {
        let last = device.touched.len().checked_sub(1)?;
        let row = row.min(last);
        let row = if self.reverse { last - row } else { row };
        let order = self.order.rows(frame, device, self.sort);
        let place = order.map_or(row, |order| order[row] as usize);
        device.touched.get(place)
    }

    fn scroll_findings(&mut self, by: isize) {
        // As many as it may have where the screen is narrow.
        let lines = |text: &str| text.chars().count().div_ceil(60);
        let frame = self.history.current();
        let findings = |frame: &Arc<Frame>| {
            let devices = self.devices(frame);
            let texts = devices.iter().flat_map(|device| {
                let findings = device.findings.iter();
                let findings = findings.map(|one| 3 + lines(&one.what) + lines(&one.remedy));
                let missing = device.unavailable.iter();
                findings.chain(missing.map(|one| lines(&one.what) + lines(&one.why)))
            });
            texts.sum()
        };
        let last = frame.map_or(0, findings).saturating_sub(1);
        let scrolled = usize::from(self.scrolled).saturating_add_signed(by);
        self.scrolled = scrolled.min(last).min(usize::from(u16::MAX)) as u16;
    }

    fn select(&mut self, by: isize) {
        let Some(frame) = self.history.current().cloned() else {
            return;
        };
        let devices = self.devices(&frame);
        let Some(last) = devices.len().checked_sub(1) else {
            return;
        };
        let place = devices
            .iter()
            .position(|device| Some(&device.name) == self.selected.as_ref())
            .unwrap_or(0);
        self.selected = Some(
            devices[place.saturating_add_signed(by).min(last)]
                .name
                .clone(),
        );
    }

    /// The devices that the filter lets through, in order.
    pub fn devices<'a>(&self, frame: &'a Frame) -> Vec<&'a DeviceFrame> {
        let fits = |device: &&DeviceFrame| {
            device.name.contains(&self.filter) || device.backing.path.contains(&self.filter)
        };
        let mut devices: Vec<_> = frame.devices.iter().filter(fits).collect();
        match self.sort {
            Sort::Place => {}
            Sort::Requests => devices.sort_by_key(|device| std::cmp::Reverse(device.all.ops)),
            Sort::P99 => devices.sort_by_key(|device| {
                std::cmp::Reverse(device.all.total.p99_ns.or(device.all.total.p50_ns))
            }),
        }
        if self.reverse {
            devices.reverse();
        }
        devices
    }

    /// The selected device: the first, until another is chosen.
    pub fn device<'a>(&self, frame: &'a Frame) -> Option<&'a DeviceFrame> {
        let devices = self.devices(frame);
        let chosen = devices
            .iter()
            .find(|device| Some(&device.name) == self.selected.as_ref());
        chosen.or(devices.first()).copied()
    }
}
