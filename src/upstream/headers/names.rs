//! Header names as backends may read them.
//!
//! CGI, WSGI, Rack and PHP turn `-` into `_` and cannot tell `X-Tenant-Id` from `X_Tenant_Id` any more, some turn every
//! sign that is neither a letter nor a digit into one. A name is therefore compared folded: letters in lower case, every
//! other sign read as `-`.

/// What is done about a header field of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// It is ours to say: out in every spelling.
    Protected,
    /// The same, but a value of ours takes the place of the exact spelling anyway.
    Overwritten,
    /// A proxy's to say: kept in its exact spelling when a trusted proxy sends it, otherwise out.
    Proxy,
    /// About this connection only (RFC 9110 section 7.6.1): out.
    HopByHop,
    /// Framing: stays in its exact spelling, any other could be read as a second framing.
    Framing,
}

/// Names and their class, found by length first: most names are told apart by that alone.
#[derive(Debug, Default)]
pub(super) struct NameTable {
    by_length: Vec<Vec<(Box<[u8]>, Class)>>,
}

impl NameTable {
    /// Adds a name. The first class that a name was given stands.
    pub(super) fn add(&mut self, name: &str, class: Class) {
        let folded: Box<[u8]> = name.bytes().map(fold).collect();
        if self.by_length.len() <= folded.len() {
            self.by_length.resize_with(folded.len() + 1, Vec::new);
        }
        if let Some(bucket) = self.by_length.get_mut(folded.len())
            && bucket.iter().all(|(known, _)| *known != folded)
        {
            bucket.push((folded, class));
        }
    }

    /// The class of a name in whatever spelling.
    pub(super) fn find(&self, name: &[u8]) -> Option<Class> {
        let bucket = self.by_length.get(name.len())?;
        bucket.iter().find(|(known, _)| folds_to(name, known)).map(|(_, class)| *class)
    }
}

/// Whether `name`, folded, is `folded`.
pub(super) fn folds_to(name: &[u8], folded: &[u8]) -> bool {
    name.len() == folded.len() && starts_folded(name, folded)
}

/// Whether `name`, folded, starts with `folded`.
pub(super) fn starts_folded(name: &[u8], folded: &[u8]) -> bool {
    name.len() >= folded.len() && name.iter().zip(folded).all(|(byte, known)| fold(*byte) == *known)
}

/// Whether a name is spelled with nothing but letters, digits and `-`: as its fold, but for the case.
pub(super) fn is_plain(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

const fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_every_spelling() {
        let mut table = NameTable::default();
        table.add("X-Tenant-Id", Class::Protected);
        table.add("X_Tenant_Id", Class::HopByHop);
        for spelling in ["x-tenant-id", "X_TENANT_ID", "x.tenant-id", "x~tenant!id"] {
            assert_eq!(table.find(spelling.as_bytes()), Some(Class::Protected), "{spelling}");
        }
        for other in ["x-tenant-ids", "x-tenant-i", "xtenantid", "y-tenant-id", ""] {
            assert_eq!(table.find(other.as_bytes()), None, "{other}");
        }
    }
}
