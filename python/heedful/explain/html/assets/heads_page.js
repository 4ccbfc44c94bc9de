// The page of the head view.

headView(view).show(data.layer, null);
