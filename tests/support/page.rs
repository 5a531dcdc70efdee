//! What every report must be.

/// Checks that a page is whole and alone: tags closed in order, ids unique, nothing loaded.
pub fn check_page(page: &str) {
    const VOID: [&str; 3] = ["meta", "img", "br"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').expect("an end of a tag");
        let (tag, after) = rest.split_at(end);
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().expect("a name");
        rest = after;
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closed by </{name}>");
        } else if !(tag.starts_with('!') || tag.ends_with('/') || VOID.contains(&name)) {
            open.push(name);
            if ["script", "style"].contains(&name) {
                rest = &rest[rest.find(&format!("</{name}")).expect("its end")..];
            }
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    let mut ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|t| t.split('"').next()).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|w| w[0] != w[1]), "{ids:?}");
    for loads in ["http:", "https:", "href=", "url(", "@import", "<link", "<iframe", "fetch(", "import("] {
        assert!(!page.contains(loads), "{loads}");
    }
    assert!(page.split("src=\"").skip(1).all(|s| s.starts_with("data:image/png;base64,")));
    assert!(page.contains("default-src 'none'"));
    assert!(page.matches("<img ").count() == page.matches(" alt=\"Case ").count());
    assert!(page.matches("Research use only. Not a medical device.").count() >= 2);
}
