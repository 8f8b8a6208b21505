//! Where a change of a file shows.
//!
//! A path leads through directories and symbolic links, and what a program reads under it changes with any of them. A
//! volume of Kubernetes has `config.yaml -> ..data/config.yaml` and `..data -> ..2026_11_22`, and is updated by putting
//! another `..data` in the place of the old one: nothing happens to `config.yaml`, nor to any file that was there.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Symbolic links that are followed on one path, as Linux does it.
const LINKS_MAX: usize = 40;

/// The directory entries that decide what some paths mean.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// Names in their directories. No directory here is a symbolic link, or below one.
    pub(super) entries: BTreeSet<PathBuf>,
    /// Those directories. All of them are there.
    pub(super) directories: BTreeSet<PathBuf>,
}

impl Places {
    /// Of all these paths.
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let mut places = Self::default();
        paths.iter().for_each(|path| places.follow(path));
        places
    }

    /// Goes along a path: its symbolic links, and its end, which is the first name that is not there if one is not.
    fn follow(&mut self, path: &Path) {
        // Fails only for an empty path, or where the current directory is gone.
        let Ok(path) = std::path::absolute(path) else { return };
        let mut ahead = steps(&path);
        let (mut here, mut links) = (PathBuf::from("/"), 0);
        while let Some(step) = ahead.pop_front() {
            let name = match step {
                Step::Root => {
                    here = PathBuf::from("/");
                    continue;
                }
                Step::Up => {
                    here.pop();
                    continue;
                }
                Step::Down(name) => name,
            };
            let entry = here.join(name);
            match fs::symlink_metadata(&entry) {
                Ok(found) if found.is_symlink() => {
                    links += 1;
                    let target = fs::read_link(&entry).unwrap_or_default();
                    self.add(&here, entry);
                    if links > LINKS_MAX {
                        return;
                    }
                    ahead = steps(&target).into_iter().chain(ahead).collect();
                }
                Ok(_) if !ahead.is_empty() => here = entry,
                // The end, or as far as it goes.
                Ok(_) | Err(_) => return self.add(&here, entry),
            }
        }
    }

    fn add(&mut self, directory: &Path, entry: PathBuf) {
        self.entries.insert(entry);
        self.directories.insert(directory.to_owned());
    }
}

/// A component of a path, without the path.
enum Step {
    Root,
    Up,
    Down(OsString),
}

fn steps(path: &Path) -> VecDeque<Step> {
    let step = |component: Component<'_>| match component {
        Component::RootDir => Some(Step::Root),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Down(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(step).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The places of `path` in `directory`, both relative to it.
    fn places(directory: &Path, path: &str) -> (Vec<String>, Vec<String>) {
        let root = directory.canonicalize().unwrap();
        let relative = |path: &PathBuf| match path.strip_prefix(&root) {
            Ok(path) => path.display().to_string(),
            Err(_) => panic!("{} is outside", path.display()),
        };
        let found = Places::of(&[root.join(path)]);
        (found.entries.iter().map(relative).collect(), found.directories.iter().map(relative).collect())
    }

    #[test]
    fn a_plain_file_has_one_place() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        fs::write(directory.path().join("a/b"), "").unwrap();
        assert_eq!(places(directory.path(), "a/./../a/b"), (vec!["a/b".into()], vec!["a".into()]));
    }

    #[test]
    fn what_is_not_there_shows_in_the_last_directory_that_is() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(places(directory.path(), "a"), (vec!["a".into()], vec![String::new()]));
        assert_eq!(places(directory.path(), "a/b/c"), (vec!["a".into()], vec![String::new()]));
    }

    #[test]
    fn every_link_on_the_way_has_a_place() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("volume/..2026")).unwrap();
        fs::write(at("volume/..2026/config.yaml"), "").unwrap();
        symlink("..2026", at("volume/..data")).unwrap();
        symlink("..data/config.yaml", at("volume/config.yaml")).unwrap();
        symlink("volume", at("current")).unwrap();
        let (entries, directories) = places(directory.path(), "current/config.yaml");
        assert_eq!(entries, ["current", "volume/..2026/config.yaml", "volume/..data", "volume/config.yaml"]);
        assert_eq!(directories, ["", "volume", "volume/..2026"]);
    }

    #[test]
    fn a_circle_of_links_ends() {
        let directory = tempfile::tempdir().unwrap();
        symlink("b", directory.path().join("a")).unwrap();
        symlink("a", directory.path().join("b")).unwrap();
        assert_eq!(places(directory.path(), "a"), (vec!["a".into(), "b".into()], vec![String::new()]));
    }
}
