//! Black-box tests: one binary, so that the crate is linked once.

mod paths;
mod routes;
mod support {
    pub(crate) mod model;
    pub(crate) mod readings;
    pub(crate) mod routes;
}
