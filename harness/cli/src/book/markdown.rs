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
    // The corner of a table is no heading. Pictures and tables may be wider than a telephone.
    page.replace("<th></th>", "<td></td>")
        .replace("<p><img ", &format!("<p {}><img ", scrolling("Picture")))
        .replace("<table>", &format!("<div {}><table>", scrolling("Table")))
        .replace("</table>", "</table></div>")
}

/// The attributes of what may be scrolled with the keyboard too.
fn scrolling(what: &str) -> String {
    format!("class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{what}; scrolls sideways\"")
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
    fn headings_sink_and_links_into_the_repository_become_text() {
        let page = to_html("# A\n\n[x](../y.md) [z](https://z) <b>", 1);
        assert!(
            page.contains("<h2>A</h2>") && page.contains("<p>x <a href=\"https://z\">z</a> &lt;b&gt;</p>"),
            "{page}"
        );
    }
}
