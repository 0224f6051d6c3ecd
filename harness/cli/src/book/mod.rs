//! The pages of the book: plain files, without scripts, that link to one another by name.

mod markdown;

use grade::{Exercise, Kind, Module};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The first page.
pub const INDEX: &str = "index.html";
/// The page of the latest comparison.
pub const COMPARISON: &str = "comparison.html";
/// By this a book is known as one.
pub const GENERATOR: &str = "<meta name=\"generator\" content=\"syslings\">";

const STYLE: &str = include_str!("book.css");

/// All of it.
pub struct Contents {
    /// In teaching order.
    pub chapters: Vec<Chapter>,
    /// Whether there is a comparison to go with it.
    pub comparison: bool,
}

/// One module.
pub struct Chapter {
    /// Which.
    pub module: Module,
    /// Its lesson, as written.
    pub lesson: String,
    /// Its exercises.
    pub entries: Vec<Entry>,
}

/// One exercise.
pub struct Entry {
    /// Which.
    pub exercise: Exercise,
    /// What the stub says at its head.
    pub head: String,
    /// From the concept to nearly the code.
    pub hints: Vec<String>,
    /// The demo's command line.
    pub command: String,
    /// What the demo did, a sentence each.
    pub story: Vec<String>,
    /// What it is about, drawn in lines of text.
    pub drawing: Vec<String>,
    /// Whether its system calls could be seen.
    pub seen: bool,
}

/// The demo's picture.
pub fn picture_of(exercise: &Exercise) -> String {
    format!("{}.svg", exercise.name)
}

/// The demo's page: the picture, and everything that happened as a table.
pub fn timeline_of(exercise: &Exercise) -> String {
    format!("{}-timeline.html", exercise.name)
}

fn page_of(exercise: &Exercise) -> String {
    format!("{}.html", exercise.name)
}

fn page_of_lesson(module: Module) -> String {
    format!("{}.html", module.folder)
}

/// Every page with its file's name.
pub fn pages(contents: &Contents) -> Vec<(String, String)> {
    let mut pages = vec![(INDEX.to_owned(), index(contents).into_string())];
    let all: Vec<&Entry> = contents.chapters.iter().flat_map(|chapter| &chapter.entries).collect();
    for chapter in &contents.chapters {
        pages.push((page_of_lesson(chapter.module), lesson(contents, chapter).into_string()));
    }
    for (n, entry) in all.iter().enumerate() {
        let before = n.checked_sub(1).and_then(|n| all.get(n)).map(|entry| &entry.exercise);
        let after = all.get(n + 1).map(|entry| &entry.exercise);
        pages.push((page_of(&entry.exercise), exercise(contents, entry, before, after).into_string()));
    }
    pages
}

/// The frame of every page.
fn page(contents: &Contents, title: &str, here: Option<Module>, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                (PreEscaped(GENERATOR))
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a class="skip" href="#main" { "To the text" }
                header {
                    nav aria-label="Chapters" {
                        a href=(INDEX) aria-current=[here.is_none().then_some("page")] { "syslings" }
                        @for chapter in &contents.chapters {
                            a href=(page_of_lesson(chapter.module)) aria-current=[(here == Some(chapter.module)).then_some("true")] {
                                (chapter.module.title)
                            }
                        }
                        @if contents.comparison { a href=(COMPARISON) { "The comparison" } }
                    }
                }
                main id="main" { (body) }
            }
        }
    }
}

fn index(contents: &Contents) -> Markup {
    page(
        contents,
        "syslings",
        None,
        html! {
            h1 { "Linux systems programming, as the kernel sees it" }
            p {
                "Each chapter is a lesson and a few small programs to write or to mend. Each program has a picture of what its "
                "solution does, drawn from a real run under the observer."
            }
            @for chapter in &contents.chapters {
                section {
                    h2 { a href=(page_of_lesson(chapter.module)) { (chapter.module.title) } }
                    (list(chapter))
                }
            }
            @if contents.comparison {
                section {
                    h2 { a href=(COMPARISON) { "The comparison" } }
                    p { "mmap against read and write and their rivals, measured on the machine that made this book." }
                }
            }
        },
    )
}

fn list(chapter: &Chapter) -> Markup {
    html! {
        ul class="exercises" {
            @for entry in &chapter.entries {
                li {
                    a href=(page_of(&entry.exercise)) { (entry.exercise.name) }
                    ": " (entry.exercise.title)
                }
            }
        }
    }
}

fn lesson(contents: &Contents, chapter: &Chapter) -> Markup {
    page(
        contents,
        chapter.module.title,
        Some(chapter.module),
        html! {
            (PreEscaped(markdown::to_html(&chapter.lesson, 0)))
            h2 { "To the exercises" }
            (list(chapter))
        },
    )
}

fn exercise(contents: &Contents, entry: &Entry, before: Option<&Exercise>, after: Option<&Exercise>) -> Markup {
    let exercise = &entry.exercise;
    let kind = match exercise.kind {
        Kind::Write => "A program to write",
        Kind::Mend => "A program with a bug, to mend",
        Kind::Predict => "A program to foretell",
    };
    page(
        contents,
        exercise.name,
        Some(exercise.module),
        html! {
            h1 { (exercise.name) ": " (exercise.title) }
            p class="soft" { (kind) ": " code { "exercises/" (exercise.relative_path().display().to_string()) } }
            (PreEscaped(markdown::to_html(&entry.head, 2)))
            h2 { "Hints" }
            @for (number, hint) in (1..).zip(&entry.hints) {
                details {
                    summary { "Hint " (number) }
                    (PreEscaped(markdown::to_html(hint, 2)))
                }
            }
            h2 { "The solution at work" }
            @if entry.seen {
                (picture(entry))
                @if !entry.drawing.is_empty() {
                    pre class="drawing" tabindex="0" role="region" aria-label="Drawing; scrolls sideways" { (entry.drawing.join("\n")) }
                }
                ol { @for sentence in &entry.story { li { (sentence) } } }
                p { a href=(timeline_of(exercise)) { "Everything that happened, as a table" } }
            } @else {
                p { "Its system calls could not be seen where this book was made: tracing is not permitted there." }
            }
            nav class="steps" aria-label="Exercises" {
                @if let Some(before) = before { a rel="prev" href=(page_of(before)) { "← " (before.name) } }
                @if let Some(after) = after { a rel="next" href=(page_of(after)) { (after.name) " →" } }
            }
        },
    )
}

fn picture(entry: &Entry) -> Markup {
    let words = format!("Timeline of {}. {}", entry.command, entry.story.join(" "));
    html! {
        figure {
            div class="scroll" tabindex="0" role="region" aria-label=(format!("Timeline of {}; scrolls sideways", entry.exercise.name)) {
                img src=(picture_of(&entry.exercise)) alt=(words);
            }
            figcaption {
                code { "$ " (entry.command) }
                " Time runs from left to right; each bar is a process, hatched parts are waiting."
            }
        }
    }
}
