//! Programs that change a director, and monitors that watch them.

mod monitor {
    mod golden;
    mod hostile;
    mod library;
    mod program;
}
