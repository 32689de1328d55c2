//! All files of a source: which there are, which have something new, how far each has been read.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::position::{FilePosition, Look, Place, Position};
use super::reading::{ReadError, Reading, Stop};
use super::settings::Settings;
use crate::contract::{Batch, ConnectorError, Cursor, Gap, GapReason};
use crate::registry::Parsed;

/// A source of more files than this is refused: its cursor would grow with them.
const MAX_FILES: usize = 10_000;
/// Files that a tailing source keeps open, so that what is written before a rotation is read
/// even when the rotated file is gone.
const MAX_OPEN: usize = 128;
/// How long a rotated file is still read: its writer may take a moment to change over.
const ROTATION_GRACE: Duration = Duration::from_secs(60);

/// Reads the files of a source, batch by batch. Blocking.
pub(super) struct Reader {
    settings: Arc<Settings>,
    files: Vec<Tracked>,
    /// Files with something to read, as indexes into `files`.
    queue: VecDeque<usize>,
    current: Option<Current>,
    /// A source that is read once looks for its files once.
    surveyed: bool,
}

/// The file that is being read.
struct Current {
    index: usize,
    reading: Reading,
    /// How it looked before: what is written meanwhile counts as a change, read or not.
    look: Look,
}

/// A file, and what is known of it in this run.
struct Tracked {
    path: PathBuf,
    position: FilePosition,
    /// How it looked when it was last read, be it to half a record.
    seen: Option<Look>,
    file: Option<Arc<File>>,
    /// Since when its path leads elsewhere or nowhere.
    rotated: Option<Instant>,
}

impl Reader {
    pub(super) fn new(settings: Arc<Settings>, position: Position) -> Self {
        let files = position.files.into_iter().map(Tracked::resumed).collect();
        Self { settings, files, queue: VecDeque::new(), current: None, surveyed: false }
    }

    /// Reads the next batch, which is empty when there is nothing new.
    pub(super) fn look(&mut self) -> Result<Batch, ConnectorError> {
        let observed_at = Timestamp::now();
        let mut batch = Batch::default();
        if self.current.is_none() && self.queue.is_empty() && (self.settings.follow || !self.surveyed) {
            self.survey(observed_at, &mut batch.gaps)?;
            self.surveyed = true;
        }

        let mut parsed = Parsed::default();
        let mut moved = false;
        let mut more = true;
        while more {
            match self.read(&mut parsed, observed_at, &mut moved) {
                Ok(Some(Stop::Full)) => break,
                Ok(Some(Stop::Drained { .. })) => {}
                Ok(None) => more = false,
                // What was read before the failure is handed over first; the failure comes again.
                Err(_) if moved => break,
                Err(error) => return Err(error),
            }
        }
        batch.messages = parsed.messages;
        batch.poison = parsed.poison;
        batch.more = more;
        batch.end = !more && !self.settings.follow;
        if moved || !batch.gaps.is_empty() {
            batch.cursor = Some(self.cursor()?);
        }
        Ok(batch)
    }

    /// Reads on in the current file, or in the next one; `None` when there is none.
    fn read(
        &mut self,
        out: &mut Parsed,
        observed_at: Timestamp,
        moved: &mut bool,
    ) -> Result<Option<Stop>, ConnectorError> {
        let mut current = match self.current.take() {
            Some(current) => current,
            None => {
                let Some(index) = self.queue.front().copied() else { return Ok(None) };
                let opened = self.open(index)?;
                self.queue.pop_front();
                match opened {
                    Some(current) => current,
                    None => return Ok(Some(Stop::Drained { half_written: false })),
                }
            }
        };
        let Some(tracked) = self.files.get_mut(current.index) else { return Ok(None) };
        let result = current.reading.read(out, observed_at);
        if tracked.position.place != *current.reading.place() {
            current.reading.place().clone_into(&mut tracked.position.place);
            *moved = true;
        }
        match result {
            Ok(Stop::Full) => {
                tracked.position.read_at = observed_at;
                self.current = Some(current);
                Ok(Some(Stop::Full))
            }
            Ok(stop) => {
                tracked.seen = Some(current.look);
                let drained = (stop == Stop::Drained { half_written: false }).then_some(current.look);
                if tracked.position.drained != drained {
                    tracked.position.drained = drained;
                    tracked.position.read_at = observed_at;
                    *moved = true;
                }
                if !self.settings.follow {
                    tracked.file = None;
                }
                Ok(Some(stop))
            }
            Err(error) => {
                self.queue.push_front(current.index);
                Err(read_failed(&tracked.path, error))
            }
        }
    }

    fn open(&mut self, index: usize) -> Result<Option<Current>, ConnectorError> {
        let Some(tracked) = self.files.get_mut(index) else { return Ok(None) };
        let file = match &tracked.file {
            Some(file) => Arc::clone(file),
            None => match File::open(&tracked.path) {
                Ok(file) => Arc::new(file),
                // Rotated away since the survey; the next one finds it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.settings.follow => return Ok(None),
                Err(error) => return Err(failed(&tracked.path, &error)),
            },
        };
        let look = Look::of(&file.metadata().map_err(|error| failed(&tracked.path, &error))?);
        let reading = Reading::resume(&self.settings, &file, &tracked.position.path, &tracked.position.place);
        let reading = reading.map_err(|error| read_failed(&tracked.path, error))?;
        tracked.file = Some(file);
        self.close_idle(index);
        Ok(Some(Current { index, reading, look }))
    }

    /// Keeps the number of open files within bounds.
    fn close_idle(&mut self, in_use: usize) {
        if self.files.iter().filter(|tracked| tracked.file.is_some()).count() <= MAX_OPEN {
            return;
        }
        let open =
            self.files.iter_mut().enumerate().filter(|(index, tracked)| *index != in_use && tracked.file.is_some());
        if let Some((_, idle)) = open.min_by_key(|(_, tracked)| tracked.position.read_at) {
            idle.file = None;
        }
    }

    /// Looks which files there are, recognises the ones that are known, and queues what is new.
    fn survey(&mut self, now: Timestamp, gaps: &mut Vec<Gap>) -> Result<(), ConnectorError> {
        let found = find(&self.settings.path)?;
        if found.is_empty() && !self.settings.follow && !self.all_drained() {
            return Err(missing(&self.settings.path));
        }
        let mut claims = vec![None; self.files.len()];
        let mut unknown = Vec::new();

        // First by inode: a file that was renamed is still the same, unless its inode is used again.
        for (path, metadata) in &found {
            let index = self.files.iter().position(|tracked| tracked.position.inode == metadata.ino());
            match index.and_then(|index| Some((self.files.get(index)?, claims.get_mut(index)?))) {
                Some((tracked, claim @ None)) if tracked.path == *path || self.is_same(tracked, path)? => {
                    *claim = Some((path, metadata));
                }
                _ => unknown.push((path, metadata)),
            }
        }
        // Then by path, if what was read is still there: an editor or a copy changes the inode.
        let mut new = Vec::new();
        for (path, metadata) in unknown {
            let index = self.files.iter().position(|tracked| tracked.path == *path);
            match index.and_then(|index| Some((self.files.get(index)?, claims.get_mut(index)?))) {
                Some((tracked, claim @ None)) if self.is_same(tracked, path)? => *claim = Some((path, metadata)),
                _ => new.push(Tracked::new(path, metadata, now)),
            }
        }
        for (tracked, claim) in self.files.iter_mut().zip(claims) {
            match claim {
                Some((path, metadata)) => tracked.found(path, metadata),
                None => tracked.rotated = Some(tracked.rotated.unwrap_or_else(Instant::now)),
            }
        }
        self.settle_rotated(&new, now, gaps)?;
        self.files.extend(new);
        self.files.sort_by(|a, b| (a.rotated.is_none(), &a.path).cmp(&(b.rotated.is_none(), &b.path)));
        self.queue_changed();
        Ok(())
    }

    /// Files whose path leads elsewhere: read to their end, then forgotten.
    fn settle_rotated(&mut self, new: &[Tracked], now: Timestamp, gaps: &mut Vec<Gap>) -> Result<(), ConnectorError> {
        if !self.settings.follow {
            // One that another file has taken the place of is read from its start.
            let is_lost = |tracked: &&Tracked| {
                let half_read = tracked.rotated.is_some() && tracked.position.drained.is_none();
                half_read && tracked.position.place.offset > 0 && new.iter().all(|new| new.path != tracked.path)
            };
            if let Some(FilePosition { path, place, .. }) = self.files.iter().find(is_lost).map(|lost| &lost.position) {
                return Err(ConnectorError::configuration(format!(
                    "`{path}` is gone after {} of its lines were read: put it back, or take it out of `path`",
                    place.line
                )));
            }
            self.files.retain(|tracked| tracked.rotated.is_none());
            return Ok(());
        }
        for tracked in self.files.iter_mut().filter(|tracked| tracked.rotated.is_some() && tracked.file.is_none()) {
            tracked.file = moved_file(tracked);
            if tracked.file.is_none() && tracked.position.place.offset > 0 {
                gaps.push(Gap {
                    from: tracked.position.read_at,
                    until: now,
                    reason: GapReason::NotListening,
                    estimate: None,
                    detail: format!("`{}` was rotated away before its end could be read", tracked.position.path),
                });
            }
        }
        self.files.retain(|tracked| {
            let expired = tracked.rotated.is_some_and(|since| since.elapsed() > ROTATION_GRACE);
            tracked.rotated.is_none() || (tracked.file.is_some() && !expired)
        });
        Ok(())
    }

    fn queue_changed(&mut self) {
        for (index, tracked) in self.files.iter().enumerate() {
            let look = match &tracked.file {
                Some(file) => file.metadata(),
                None => std::fs::metadata(&tracked.path),
            };
            let look = look.ok().map(|metadata| Look::of(&metadata));
            if look.is_none() || look != tracked.seen {
                self.queue.push_back(index);
            }
        }
    }

    fn all_drained(&self) -> bool {
        !self.files.is_empty() && self.files.iter().all(|tracked| tracked.position.drained.is_some())
    }

    /// True when `path` holds the text that was read from the tracked file.
    fn is_same(&self, tracked: &Tracked, path: &Path) -> Result<bool, ConnectorError> {
        let place = &tracked.position.place;
        let file = File::open(path).map(Arc::new).map_err(|error| failed(path, &error))?;
        match Reading::resume(&self.settings, &file, &tracked.position.path, place) {
            Ok(reading) => Ok(reading.place() == place),
            Err(ReadError::Header(_)) => Ok(false),
            Err(error) => Err(read_failed(path, error)),
        }
    }

    fn cursor(&self) -> Result<Cursor, ConnectorError> {
        let position = Position::of(self.files.iter().map(|tracked| tracked.position.clone()).collect());
        Cursor::of(&position).map_err(|error| ConnectorError::bug(format!("cannot write the cursor: {error}")))
    }
}

impl Tracked {
    fn new(path: &Path, metadata: &Metadata, now: Timestamp) -> Self {
        let path_text = path.to_string_lossy().into_owned();
        let position = FilePosition {
            path: path_text,
            inode: metadata.ino(),
            place: Place::default(),
            drained: None,
            read_at: now,
        };
        Self { path: path.to_owned(), position, seen: None, file: None, rotated: None }
    }

    fn resumed(position: FilePosition) -> Self {
        Self { path: PathBuf::from(&position.path), seen: position.drained, position, file: None, rotated: None }
    }

    fn found(&mut self, path: &Path, metadata: &Metadata) {
        self.rotated = None;
        if self.position.inode != metadata.ino() {
            // The same text in another file: what is open is the old one.
            self.position.inode = metadata.ino();
            self.file = None;
        }
        if self.path != path {
            path.clone_into(&mut self.path);
            self.position.path = path.to_string_lossy().into_owned();
        }
    }
}

impl Look {
    fn of(metadata: &Metadata) -> Self {
        let modified = metadata.mtime().saturating_mul(1000).saturating_add(metadata.mtime_nsec() / 1_000_000);
        Self { size: metadata.len(), modified }
    }
}

/// The files that a path or pattern names, in order.
pub(super) fn find(pattern: &str) -> Result<Vec<(PathBuf, Metadata)>, ConnectorError> {
    let named = Path::new(pattern);
    let paths: Vec<PathBuf> = if named.exists() {
        if named.is_dir() {
            return Err(ConnectorError::configuration(format!(
                "`{pattern}` is a directory: name its files with a pattern such as `{}/*.jsonl`",
                pattern.trim_end_matches('/')
            )));
        }
        vec![named.to_owned()]
    } else {
        let matching = glob::glob(pattern)
            .map_err(|error| ConnectorError::configuration(format!("`{pattern}` is not a pattern: {error}")))?;
        matching.take(MAX_FILES + 1).collect::<Result<_, _>>().map_err(|error| failed(error.path(), error.error()))?
    };
    if paths.len() > MAX_FILES {
        return Err(ConnectorError::configuration(format!(
            "`{pattern}` matches more than {MAX_FILES} files: use several sources"
        )));
    }
    let mut found = Vec::with_capacity(paths.len());
    for path in paths {
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => found.push((path, metadata)),
            Ok(_) => {}
            // Removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&path, &error)),
        }
    }
    Ok(found)
}

/// The error for a source whose files are not there.
pub(super) fn missing(pattern: &str) -> ConnectorError {
    ConnectorError::configuration(format!(
        "no file matches `{pattern}`; a source with `follow = true` would wait for one"
    ))
}

/// The file that a tracked one has become: rotation renames within the directory.
fn moved_file(tracked: &Tracked) -> Option<Arc<File>> {
    let directory = tracked.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in std::fs::read_dir(directory).ok()?.flatten() {
        if entry.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.ino() == tracked.position.inode) {
            return File::open(entry.path()).ok().map(Arc::new);
        }
    }
    None
}

/// The error for a failure that concerns the file itself.
pub(super) fn read_failed(path: &Path, error: ReadError) -> ConnectorError {
    match error {
        ReadError::Io(error) => failed(path, &error),
        ReadError::Header(reason) => ConnectorError::configuration(format!("`{}`: {reason}", path.display())),
    }
}

fn failed(path: &Path, error: &io::Error) -> ConnectorError {
    let message = format!("cannot read `{}`: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => ConnectorError::configuration(message),
        _ => ConnectorError::remote(message),
    }
}
