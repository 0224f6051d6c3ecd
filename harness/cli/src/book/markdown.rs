//! The lessons' Markdown as HTML. Links to other files of the repository lead nowhere in a book, and become plain text.

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// Turns Markdown into HTML, its headings lower by so many levels.
pub fn to_html(text: &str, lower: usize) -> String {
    let mut events = Vec::new();
    let mut plain = false;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { level, id, classes, attrs }) => {
                events.push(Event::Start(Tag::Heading { level: below(level, lower), id, classes, attrs }));
            }
            Event::End(TagEnd::Heading(level)) => events.push(Event::End(TagEnd::Heading(below(level, lower)))),
            Event::Start(Tag::Link { ref dest_url, .. }) if !leads_away(dest_url) => plain = true,
            Event::End(TagEnd::Link) if plain => plain = false,
            // Nothing in a lesson is markup of its own.
            Event::Html(raw) | Event::InlineHtml(raw) => events.push(Event::Text(raw)),
            event => events.push(event),
        }
    }
    let mut page = String::new();
    html::push_html(&mut page, events.into_iter());
    // The corner of a table is no heading. Pictures, tables and code may be wider than a telephone.
    let page = page.replace("<th></th>", "<td></td>").replace("</table>", "</table></div>");
    let page = page.replace("<pre>", "<pre tabindex=\"0\">");
    let page = scrolling(&page, "<p><img ", |region| format!("<p {region}><img "), "Picture");
    scrolling(&page, "<table>", |region| format!("<div {region}><table>"), "Table")
}

/// Makes each such tag one that may be scrolled, with the keyboard too; their names tell them apart.
fn scrolling(page: &str, tag: &str, within: impl Fn(&str) -> String, what: &str) -> String {
    let mut parts = page.split(tag);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for (number, part) in (1..).zip(parts) {
        let name = format!("{what} {number}; scrolls sideways");
        out += &within(&format!("class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{name}\""));
        out += part;
    }
    out
}

fn below(level: HeadingLevel, lower: usize) -> HeadingLevel {
    HeadingLevel::try_from((level as usize + lower).min(6)).unwrap_or(HeadingLevel::H6)
}

fn leads_away(address: &CowStr) -> bool {
    address.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_told_apart() {
        let page = to_html("|a|\n|-|\n|b|\n\nx\n\n|a|\n|-|\n|b|\n", 0);
        assert_eq!(page.matches("</table></div>").count(), 2, "{page}");
        assert!(page.contains("\"Table 1; scrolls") && page.contains("\"Table 2; scrolls"), "{page}");
    }

    #[test]
    fn code_is_scrolled_by_the_keyboard() {
        let page = to_html("```\na\n```\n\n```rust\nb\n```\n", 0);
        assert_eq!(page.matches("<pre tabindex=\"0\"><code").count(), 2, "{page}");
    }

    #[test]
    fn headings_sink_and_links_into_the_repository_become_text() {
        let page = to_html("# A\n\n[x](../y.md) [z](https://z) <b>", 1);
        assert!(
            page.contains("<h2>A</h2>") && page.contains("<p>x <a href=\"https://z\">z</a> &lt;b&gt;</p>"),
            "{page}"
        );
    }
}
